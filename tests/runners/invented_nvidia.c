/* An invented NVIDIA driver, for machines without one: two GPUs that say what is written here.
 *
 * Built once as libcuda.so.1 and once as libnvidia-ml.so.1, it stands where edgekit's own code ends: behind
 * ctypes and behind the package nvidia-ml-py. Nothing computes on it. Signatures are those of cuda.h and
 * nvml.h; GPU 1 does not tell its power, as some boards do not. */
#include <stdio.h>
#include <string.h>

#define UUID_0 "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
#define UUID_1 "GPU-10111213-1415-1617-1819-1a1b1c1d1e1f"
#define CUDA_ERROR_INVALID_DEVICE 101
#define NVML_ERROR_NOT_SUPPORTED 3
#define NVML_ERROR_NOT_FOUND 6

int cuInit(unsigned flags) { return (int)flags; }
int cuDeviceGet(int *handle, int number) {
    *handle = number;
    return number < 2 ? 0 : CUDA_ERROR_INVALID_DEVICE;
}
int cuDeviceGetName(char *name, int size, int handle) {
    snprintf(name, (size_t)size, "Invented GPU %d", handle);
    return 0;
}
int cuDeviceGetUuid(unsigned char *bytes, int handle) {
    for (int index = 0; index < 16; index++) bytes[index] = (unsigned char)(16 * handle + index);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int handle) {
    (void)handle;
    *value = attribute == 75 ? 7 : 0;
    return 0;
}
int cuDriverGetVersion(int *version) {
    *version = 12040;
    return 0;
}
int cuGetErrorName(int code, const char **name) {
    *name = code == CUDA_ERROR_INVALID_DEVICE ? "CUDA_ERROR_INVALID_DEVICE" : "CUDA_ERROR_UNKNOWN";
    return 0;
}

static int gpus[2] = {0, 1};
static unsigned asked;

int nvmlInitWithFlags(unsigned flags) { return (int)flags; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code == NVML_ERROR_NOT_SUPPORTED ? "Not Supported" : "Not Found"; }
int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = 2;
    return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, int **handle) {
    *handle = &gpus[index];
    return 0;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, int **handle) {
    if (strcmp(uuid, UUID_0) != 0 && strcmp(uuid, UUID_1) != 0) return NVML_ERROR_NOT_FOUND;
    *handle = &gpus[strcmp(uuid, UUID_1) == 0];
    return 0;
}
int nvmlDeviceGetName(int *handle, char *name, unsigned size) {
    snprintf(name, size, "Invented GPU %d", *handle);
    return 0;
}
int nvmlDeviceGetUUID(int *handle, char *uuid, unsigned size) {
    snprintf(uuid, size, "%s", *handle ? UUID_1 : UUID_0);
    return 0;
}
int nvmlDeviceGetClockInfo(int *handle, unsigned type, unsigned *mhz) {
    (void)handle;
    /* The SM clock falls with every question. */
    *mhz = type == 1 ? 1500 - asked++ : 877;
    return 0;
}
int nvmlDeviceGetMaxClockInfo(int *handle, unsigned type, unsigned *mhz) {
    (void)handle, (void)type;
    *mhz = 1530;
    return 0;
}
int nvmlDeviceGetTemperature(int *handle, unsigned sensor, unsigned *celsius) {
    (void)sensor;
    *celsius = *handle ? 41 : 61;
    return 0;
}
int nvmlDeviceGetPowerUsage(int *handle, unsigned *milliwatts) {
    *milliwatts = 250000;
    return *handle ? NVML_ERROR_NOT_SUPPORTED : 0;
}
int nvmlDeviceGetEnforcedPowerLimit(int *handle, unsigned *milliwatts) {
    (void)handle;
    *milliwatts = 300000;
    return 0;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(int *handle, unsigned long long *reasons) {
    *reasons = *handle ? 0x1 : 0x40 | 0x4 | 0x1000;
    return 0;
}
int nvmlDeviceGetUtilizationRates(int *handle, unsigned *rates) {
    rates[0] = *handle ? 0 : 97;
    rates[1] = 12;
    return 0;
}
int nvmlDeviceGetMemoryInfo(int *handle, unsigned long long *memory) {
    (void)handle;
    memory[0] = 16000000000ull, memory[1] = 15000000000ull, memory[2] = 1000000000ull;
    return 0;
}
