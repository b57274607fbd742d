#include "machine.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t steady_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

bool read_number(const char *path, int64_t *result)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool ok = fscanf(file, "%" SCNd64, result) == 1;
    fclose(file);
    return ok;
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

core_list machine_cores(void)
{
    core_list cores = {.count = 0};
    DIR *directory = opendir("/sys/devices/system/cpu");
    if (directory == NULL)
        return cores;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const char *digits = entry->d_name + 3;
        if (strncmp(entry->d_name, "cpu", 3) != 0 || *digits == '\0' ||
            digits[strspn(digits, "0123456789")] != '\0' || cores.count == MAX_CORES)
            continue;
        cores.cores[cores.count++] = atoi(digits);
    }
    closedir(directory);
    qsort(cores.cores, (size_t)cores.count, sizeof *cores.cores, compare_ints);
    return cores;
}

/* A process on a host may be confined to some cores. On a device /sys counts: an emulated device shows its
 * own cores there, but reports its host's cores for this process. */
int core_limit(void)
{
#ifdef __aarch64__
    core_list cores = machine_cores();
#else
    core_list cores = allowed_cores();
#endif
    return cores.count > 0 ? cores.count : MAX_CORES;
}

bool core_max_khz(int core, int64_t *khz)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/cpuinfo_max_freq", core);
    return read_number(path, khz);
}

/* Sorts cores from slow to fast, and cores of one speed by number. */
static int rank_by_speed(core_list *cores, int64_t speeds[MAX_CORES])
{
    for (int i = 0; i < cores->count; i++) {
        int core = cores->cores[i], at = i;
        int64_t speed = 0; /* without frequencies all cores form one cluster */
        core_max_khz(core, &speed);
        for (; at > 0 && speeds[at - 1] > speed; at--) {
            speeds[at] = speeds[at - 1];
            cores->cores[at] = cores->cores[at - 1];
        }
        speeds[at] = speed;
        cores->cores[at] = core;
    }
    int slowest = 0;
    while (slowest < cores->count && speeds[slowest] == speeds[0])
        slowest++;
    return slowest;
}

core_list power_mode_cores(power_mode mode, int threads)
{
    core_list chosen = {.count = 0};
    if (mode == POWER_NONE || mode == POWER_NO_BIND)
        return chosen;
    core_list ranked = machine_cores();
    int64_t speeds[MAX_CORES];
    int slowest = rank_by_speed(&ranked, speeds);
    if (mode == POWER_LOW) {
        for (int i = 0; i < slowest && chosen.count < threads; i++)
            chosen.cores[chosen.count++] = ranked.cores[i];
    } else {
        int last = mode == POWER_HIGH && slowest < ranked.count ? slowest : 0;
        for (int i = ranked.count - 1; i >= last && chosen.count < threads; i--)
            chosen.cores[chosen.count++] = ranked.cores[i];
    }
    qsort(chosen.cores, (size_t)chosen.count, sizeof *chosen.cores, compare_ints);
    return chosen;
}

bool bind_to(const core_list *cores)
{
    cpu_set_t wanted, got;
    CPU_ZERO(&wanted);
    for (int i = 0; i < cores->count; i++) {
        if (cores->cores[i] < 0 || cores->cores[i] >= CPU_SETSIZE) {
            errno = EINVAL;
            return false;
        }
        CPU_SET(cores->cores[i], &wanted);
    }
    if (sched_setaffinity(0, sizeof wanted, &wanted) != 0)
        return false;
    /* The kernel drops cores that are offline or outside the process's cpuset without an error. */
    if (sched_getaffinity(0, sizeof got, &got) != 0)
        return false;
    if (!CPU_EQUAL(&wanted, &got)) {
        errno = EPERM;
        return false;
    }
    return true;
}

/* Calls `visit` with the id of every thread of this process. */
static int each_thread(void (*visit)(int thread, void *context), void *context)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/task");
    if (directory == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        count++;
        if (visit != NULL)
            visit(atoi(entry->d_name), context);
    }
    closedir(directory);
    return count;
}

int thread_count(void)
{
    return each_thread(NULL, NULL);
}

static void add_affinity(int thread, void *context)
{
    cpu_set_t mask;
    if (sched_getaffinity(thread, sizeof mask, &mask) == 0)
        CPU_OR((cpu_set_t *)context, (cpu_set_t *)context, &mask);
}

core_list allowed_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (each_thread(add_affinity, &set) == 0)
        add_affinity(0, &set);
    return listed(&set);
}

static void add_last_core(int thread, void *context)
{
    char path[64], line[1024];
    int core;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    char *at = fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    fclose(file);
    /* proc(5): field 39 is the core; the name in parentheses is field 2. */
    for (int field = 2; at != NULL && field < 39; field++)
        at = strchr(at + 1, ' ');
    if (at != NULL && sscanf(at, "%d", &core) == 1 && core >= 0 && core < CPU_SETSIZE)
        CPU_SET(core, (cpu_set_t *)context);
}

void add_cores_seen(cpu_set_t *seen)
{
    each_thread(add_last_core, seen);
}

core_list listed(const cpu_set_t *set)
{
    core_list cores = {.count = 0};
    for (int core = 0; core < CPU_SETSIZE && cores.count < MAX_CORES; core++)
        if (CPU_ISSET(core, set))
            cores.cores[cores.count++] = core;
    return cores;
}

/* Reads a `name: N kB` line of a file of /proc, as bytes. */
static bool read_kilobytes(const char *path, const char *name, int64_t *bytes)
{
    char line[256];
    size_t length = strlen(name);
    bool found = false;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof line, file) != NULL)
        found = strncmp(line, name, length) == 0 && sscanf(line + length, ": %" SCNd64, bytes) == 1;
    fclose(file);
    *bytes *= 1024;
    return found;
}

bool peak_memory(int64_t *bytes)
{
    *bytes = 0;
    return read_kilobytes("/proc/self/status", "VmHWM", bytes);
}

bool available_memory(int64_t *bytes)
{
    *bytes = 0;
    return read_kilobytes("/proc/meminfo", "MemAvailable", bytes);
}
