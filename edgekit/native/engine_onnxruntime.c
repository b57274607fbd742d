/* ONNX Runtime through its C API. The library is opened when it is needed, so that one executable runs
 * with every version; linking would bind it to one (symbols are versioned). */
#include "engine.h"
#include "onnxruntime_slots.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const engine_name = "onnxruntime";

#define DECLARE(name, index, result, arguments) result(*name) arguments;
static struct {
    ORT_SLOTS(DECLARE)
} api;

static char *version;
static ort_object *environment, *memory, *allocator, *session;
static tensor_info inputs[MAX_TENSORS], outputs[MAX_TENSORS];
static int input_count, output_count;
static float *input_data;
static size_t input_capacity; /* elements */
static ort_object *input_value, *output_value;
static tensor_shape bound_shape;

static bool open_library(failure *why)
{
    if (api.Run != NULL)
        return true;
    void *library = dlopen("libonnxruntime.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return fail(why, FAILED_RUNTIME, "loading ONNX Runtime: %s", dlerror());
    const ort_api_base *(*get_base)(void);
    *(void **)&get_base = dlsym(library, "OrtGetApiBase"); /* the conversion that POSIX prescribes */
    if (get_base == NULL)
        return fail(why, FAILED_RUNTIME, "loading ONNX Runtime: %s", dlerror());
    const void *const *table = get_base()->get_api(ORT_API_VERSION_USED);
    if (table == NULL)
        return fail(why, FAILED_RUNTIME, "ONNX Runtime %s has no API version %d", get_base()->get_version(),
                    ORT_API_VERSION_USED);
    version = strdup(get_base()->get_version());
#define RESOLVE(name, index, result, arguments) memcpy(&api.name, &table[index], sizeof api.name);
    ORT_SLOTS(RESOLVE)
    return true;
}

const char *engine_version(failure *why)
{
    return open_library(why) ? version : NULL;
}

/* Returns true where a call succeeded; else stores its message as the failure. */
static bool check(ort_status *status, failure_code code, failure *why)
{
    if (status == NULL)
        return true;
    int error = api.GetErrorCode(status);
    const char *message = api.GetErrorMessage(status);
    if (strstr(message, "bad_alloc") != NULL || strstr(message, "Failed to allocate memory") != NULL)
        code = FAILED_MEMORY;
    else if (code == FAILED_MODEL_INVALID && error == ORT_NOT_IMPLEMENTED)
        code = FAILED_UNSUPPORTED;
    fail(why, code, "ONNX Runtime: %s", message);
    api.ReleaseStatus(status);
    return false;
}

static const char *type_name(int type)
{
    static const char *const names[] = {"undefined", "float32", "uint8",  "int8",   "uint16",  "int16",
                                        "int32",     "int64",   "string", "bool",   "float16", "float64",
                                        "uint32",    "uint64",  "complex64", "complex128", "bfloat16"};
    return type >= 0 && type < (int)(sizeof names / sizeof *names) ? names[type] : "other";
}

static bool read_shape(const ort_object *info, tensor_info *tensor, failure *why)
{
    size_t rank;
    int type;
    if (!check(api.GetTensorElementType(info, &type), FAILED_MODEL_INVALID, why) ||
        !check(api.GetDimensionsCount(info, &rank), FAILED_MODEL_INVALID, why))
        return false;
    if (rank > MAX_RANK)
        return fail(why, FAILED_UNSUPPORTED, "a tensor of %zu dimensions", rank);
    tensor->dtype = type_name(type);
    tensor->shape.rank = (int)rank;
    return check(api.GetDimensions(info, tensor->shape.dims, rank), FAILED_MODEL_INVALID, why);
}

static bool read_tensor(bool is_input, size_t index, tensor_info *tensor, failure *why)
{
    ort_object *type = NULL;
    const ort_object *shape = NULL;
    char *name;
    if (!check(is_input ? api.SessionGetInputName(session, index, allocator, &name)
                        : api.SessionGetOutputName(session, index, allocator, &name),
               FAILED_MODEL_INVALID, why))
        return false;
    bool fits = (size_t)snprintf(tensor->name, sizeof tensor->name, "%s", name) < sizeof tensor->name;
    if (!fits)
        fail(why, FAILED_UNSUPPORTED, "a tensor with a name of %zu bytes", strlen(name));
    check(api.AllocatorFree(allocator, name), FAILED_RUNTIME, &(failure){0});
    if (!fits || !check(is_input ? api.SessionGetInputTypeInfo(session, index, &type)
                                 : api.SessionGetOutputTypeInfo(session, index, &type),
                        FAILED_MODEL_INVALID, why))
        return false;
    bool ok = check(api.CastTypeInfoToTensorInfo(type, &shape), FAILED_MODEL_INVALID, why);
    if (ok && shape == NULL)
        ok = fail(why, FAILED_UNSUPPORTED, "%s is no tensor", tensor->name);
    ok = ok && read_shape(shape, tensor, why);
    api.ReleaseTypeInfo(type);
    return ok;
}

static bool read_tensors(bool is_input, tensor_info tensors[MAX_TENSORS], int *result, failure *why)
{
    size_t count;
    if (!check(is_input ? api.SessionGetInputCount(session, &count) : api.SessionGetOutputCount(session, &count),
               FAILED_MODEL_INVALID, why))
        return false;
    if (count < 1 || count > MAX_TENSORS)
        return fail(why, FAILED_UNSUPPORTED, "a model with %zu %s", count, is_input ? "inputs" : "outputs");
    for (size_t i = 0; i < count; i++)
        if (!read_tensor(is_input, i, &tensors[i], why))
            return false;
    *result = (int)count;
    return true;
}

/* The only option, which the host's worker has too: with `spinning` (on, off) idle threads poll for work. The
 * default is the library's, or off where OMP_WAIT_POLICY turns polling off for the whole process. */
static bool set_options(ort_object *session_options, engine_config *config, failure *why)
{
    const char *policy = getenv("OMP_WAIT_POLICY");
    const char *spinning = policy != NULL && strcasecmp(policy, "passive") == 0 ? "off" : "on";
    for (int i = 0; i < config->option_count; i++) {
        const engine_option *option = &config->options[i];
        if (strcmp(option->name, "spinning") != 0 ||
            (strcmp(option->value, "on") != 0 && strcmp(option->value, "off") != 0))
            return fail(why, FAILED_REQUEST, "the onnxruntime runner has no option %s=%s", option->name,
                        option->value);
        spinning = option->value;
    }
    config->option_count = 1;
    config->options[0] = (engine_option){"spinning", spinning};
    return check(api.AddSessionConfigEntry(session_options, "session.intra_op.allow_spinning",
                                           strcmp(spinning, "on") == 0 ? "1" : "0"),
                 FAILED_RUNTIME, why);
}

static bool create_session(engine_config *config, failure *why)
{
    ort_object *options = NULL;
    if (!check(api.CreateSessionOptions(&options), FAILED_RUNTIME, why))
        return false;
    bool ok = check(api.SetIntraOpNumThreads(options, config->threads), FAILED_THREADS, why) &&
              check(api.SetInterOpNumThreads(options, 1), FAILED_RUNTIME, why);
    ok = ok && set_options(options, config, why);
    ok = ok && check(api.CreateSession(environment, config->model, options, &session), FAILED_MODEL_INVALID, why);
    api.ReleaseSessionOptions(options);
    return ok;
}

static void release_values(void)
{
    if (input_value != NULL)
        api.ReleaseValue(input_value);
    if (output_value != NULL)
        api.ReleaseValue(output_value);
    input_value = output_value = NULL;
    bound_shape.rank = 0;
}

static void release_session(void)
{
    release_values();
    if (session != NULL)
        api.ReleaseSession(session);
    session = NULL;
    input_count = output_count = 0;
}

/* Versions from 1.29 on start a telemetry thread here; this disables its events. */
bool engine_open(failure *why)
{
    if (memory != NULL)
        return true;
    return open_library(why) && check(api.CreateEnv(ORT_LOGGING_ERROR, "edgekit", &environment), FAILED_RUNTIME, why) &&
           check(api.DisableTelemetryEvents(environment), FAILED_RUNTIME, why) &&
           check(api.GetAllocatorWithDefaultOptions(&allocator), FAILED_RUNTIME, why) &&
           check(api.CreateCpuMemoryInfo(ORT_DEVICE_ALLOCATOR, ORT_MEM_DEFAULT, &memory), FAILED_RUNTIME, why);
}

bool engine_load(engine_config *config, failure *why)
{
    release_session();
    return create_session(config, why) && read_tensors(true, inputs, &input_count, why) &&
           read_tensors(false, outputs, &output_count, why);
}

int engine_inputs(tensor_info infos[MAX_TENSORS])
{
    memcpy(infos, inputs, (size_t)input_count * sizeof *infos);
    return input_count;
}

int engine_outputs(tensor_info infos[MAX_TENSORS])
{
    memcpy(infos, outputs, (size_t)output_count * sizeof *infos);
    return output_count;
}

static bool same_shape(const tensor_shape *a, const tensor_shape *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

float *engine_input(const tensor_shape *shape, failure *why)
{
    if (same_shape(shape, &bound_shape))
        return input_data;
    size_t elements = shape_elements(shape);
    release_values();
    if (elements > input_capacity) {
        free(input_data);
        input_capacity = 0;
        input_data = aligned_alloc(64, (elements * sizeof *input_data + 63) / 64 * 64);
        if (input_data == NULL) {
            fail(why, FAILED_MEMORY, "no memory for an input of %zu numbers", elements);
            return NULL;
        }
        input_capacity = elements;
    }
    if (!check(api.CreateTensorWithDataAsOrtValue(memory, input_data, elements * sizeof *input_data, shape->dims,
                                                  (size_t)shape->rank, ORT_TYPE_FLOAT, &input_value),
               FAILED_SHAPE, why))
        return NULL;
    bound_shape = *shape;
    return input_data;
}

/* The first run of a shape allocates the output; later runs write into that memory. */
bool engine_run(failure *why)
{
    const char *input_name = inputs[0].name, *output_name = outputs[0].name;
    const ort_object *value = input_value;
    return check(api.Run(session, NULL, &input_name, &value, 1, &output_name, 1, &output_value), FAILED_RUNTIME,
                 why);
}

const float *engine_output(tensor_shape *shape, failure *why)
{
    ort_object *info = NULL;
    tensor_info tensor;
    void *data = NULL;
    if (!check(api.GetTensorTypeAndShape(output_value, &info), FAILED_RUNTIME, why))
        return NULL;
    bool ok = read_shape(info, &tensor, why);
    api.ReleaseTensorTypeAndShapeInfo(info);
    if (ok && strcmp(tensor.dtype, "float32") != 0)
        ok = fail(why, FAILED_UNSUPPORTED, "an output of %s", tensor.dtype);
    if (!ok || !check(api.GetTensorMutableData(output_value, &data), FAILED_RUNTIME, why))
        return NULL;
    *shape = tensor.shape;
    return data;
}
