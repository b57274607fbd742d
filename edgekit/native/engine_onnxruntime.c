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
static struct {
    void *data;
    size_t capacity; /* bytes */
    ort_object *value;
    tensor_shape shape; /* of `value` */
} bound[MAX_TENSORS];
static ort_object *output_values[MAX_TENSORS];

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

/* Names by ONNXTensorElementDataType. */
static const char *const type_names[] = {"undefined", "float32", "uint8",  "int8",   "uint16",  "int16",
                                         "int32",     "int64",   "string", "bool",   "float16", "float64",
                                         "uint32",    "uint64",  "complex64", "complex128", "bfloat16"};
enum { TYPES = sizeof type_names / sizeof *type_names };

static const char *type_name(int type)
{
    return type >= 0 && type < TYPES ? type_names[type] : "other";
}

static int type_number(const char *name)
{
    int type = 0;
    while (type < TYPES && strcmp(type_names[type], name) != 0)
        type++;
    return type;
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

static void release_outputs(void)
{
    for (int i = 0; i < output_count; i++) {
        if (output_values[i] != NULL)
            api.ReleaseValue(output_values[i]);
        output_values[i] = NULL;
    }
}

static void release_input(int index)
{
    if (bound[index].value != NULL)
        api.ReleaseValue(bound[index].value);
    bound[index].value = NULL;
}

static void release_session(void)
{
    release_outputs();
    for (int i = 0; i < input_count; i++)
        release_input(i);
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

void *engine_input(int index, const tensor_info *input, failure *why)
{
    /* The outputs' shapes may depend on the inputs' values, so a run after new values allocates them anew. */
    release_outputs();
    if (bound[index].value != NULL && same_shape(&input->shape, &bound[index].shape))
        return bound[index].data;
    size_t bytes = tensor_bytes(input);
    release_input(index);
    if (bytes > bound[index].capacity) {
        free(bound[index].data);
        bound[index].capacity = 0;
        bound[index].data = aligned_alloc(64, (bytes + 63) / 64 * 64);
        if (bound[index].data == NULL) {
            fail(why, FAILED_MEMORY, "no memory for input %s of %zu bytes", input->name, bytes);
            return NULL;
        }
        bound[index].capacity = bytes;
    }
    if (!check(api.CreateTensorWithDataAsOrtValue(memory, bound[index].data, bytes, input->shape.dims,
                                                  (size_t)input->shape.rank, type_number(input->dtype),
                                                  &bound[index].value),
               FAILED_SHAPE, why))
        return NULL;
    bound[index].shape = input->shape;
    return bound[index].data;
}

/* The first run after new inputs allocates the outputs; later runs write into that memory. */
bool engine_run(failure *why)
{
    const char *input_names[MAX_TENSORS], *output_names[MAX_TENSORS];
    const ort_object *values[MAX_TENSORS];
    for (int i = 0; i < input_count; i++) {
        input_names[i] = inputs[i].name;
        values[i] = bound[i].value;
    }
    for (int i = 0; i < output_count; i++)
        output_names[i] = outputs[i].name;
    return check(api.Run(session, NULL, input_names, values, (size_t)input_count, output_names,
                         (size_t)output_count, output_values),
                 FAILED_RUNTIME, why);
}

const void *engine_output(int index, tensor_info *output, failure *why)
{
    ort_object *info = NULL;
    void *data = NULL;
    if (!check(api.GetTensorTypeAndShape(output_values[index], &info), FAILED_RUNTIME, why))
        return NULL;
    bool ok = read_shape(info, output, why);
    api.ReleaseTensorTypeAndShapeInfo(info);
    if (ok && dtype_bytes(output->dtype) == 0)
        ok = fail(why, FAILED_UNSUPPORTED, "output %s is %s, which no runner knows", output->name, output->dtype);
    if (!ok || !check(api.GetTensorMutableData(output_values[index], &data), FAILED_RUNTIME, why))
        return NULL;
    return data != NULL ? data : ""; /* an output of no elements may have no memory */
}
