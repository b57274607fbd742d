/* The requests `check` (compare the model's hash) and `load` (bind to cores, load and run the model once,
 * report the effective settings). */
#include "runner.h"
#include "sha256.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

runner_state runner;

static char binding_note[128]; /* reason why a power mode's binding did not take effect */

static bool take_protocol(const json_value *request, failure *why)
{
    int64_t protocol = PROTOCOL_VERSION;
    if (!take_integer(request, "protocol", 0, INT32_MAX, &protocol, why))
        return false;
    return protocol == PROTOCOL_VERSION || fail(why, FAILED_PROTOCOL, "protocol %lld; this runner speaks %d",
                                                (long long)protocol, PROTOCOL_VERSION);
}

/* Opens the model and reads its first byte, or with `hex` the whole file. */
static bool read_model(const char *model, char *hex, failure *why)
{
    FILE *file = fopen(model, "rbe");
    if (file == NULL)
        return fail(why, FAILED_MODEL_MISSING, "model %s: %s", model, strerror(errno));
    bool readable = hex == NULL ? fgetc(file) != EOF : sha256_file(file, hex);
    int error = errno;
    bool broken = ferror(file) != 0;
    fclose(file);
    if (broken)
        return fail(why, FAILED_MODEL_MISSING, "reading model %s: %s", model, strerror(error));
    return readable || fail(why, FAILED_MODEL_INVALID, "model %s is empty", model);
}

bool serve_check(const json_value *request, json_text *answer, failure *why)
{
    char actual[SHA256_HEX_SIZE];
    const char *model, *wanted;
    if (!take_protocol(request, why) || !take_string(request, "model", &model, why) ||
        !take_string(request, "sha256", &wanted, why) || !read_model(model, actual, why))
        return false;
    if (strcasecmp(wanted, actual) != 0)
        return fail(why, FAILED_HASH_MISMATCH, "model %s has sha256 %s instead of %s", model, actual, wanted);
    json_append(answer, ",\"protocol\":%d", PROTOCOL_VERSION);
    return true;
}

static bool take_options(const json_value *request, engine_config *config, failure *why)
{
    const json_value *options = json_member(request, "options");
    config->option_count = 0;
    if (options == NULL)
        return true;
    if (options->type != JSON_OBJECT)
        return fail(why, FAILED_REQUEST, "options must be an object");
    for (const json_value *item = options->first; item != NULL; item = item->next) {
        if (item->type != JSON_STRING)
            return fail(why, FAILED_REQUEST, "option %s must be a string", item->key);
        if (config->option_count == MAX_OPTIONS)
            return fail(why, FAILED_REQUEST, "more than %d options", MAX_OPTIONS);
        config->options[config->option_count++] = (engine_option){item->key, item->string};
    }
    return true;
}

static bool take_power_mode(const json_value *request, power_mode *mode, failure *why)
{
    static const char *const names[] = {"HIGH", "LOW", "FULL", "NO_BIND"};
    const json_value *value = json_member(request, "power_mode");
    *mode = POWER_NONE;
    if (value == NULL)
        return true;
    if (value->type != JSON_STRING)
        return fail(why, FAILED_REQUEST, "power_mode must be a string or null");
    for (int i = 0; i < 4; i++) {
        if (strcmp(value->string, names[i]) == 0) {
            *mode = (power_mode)i;
            return true;
        }
    }
    if (strcmp(value->string, "RAND_HIGH") == 0 || strcmp(value->string, "RAND_LOW") == 0)
        return fail(why, FAILED_UNSUPPORTED, "power mode %s changes cores from run to run", value->string);
    return fail(why, FAILED_REQUEST, "power_mode is none of HIGH, LOW, FULL, NO_BIND: %s", value->string);
}

/* An explicit list of cores takes effect completely or is refused. */
static bool bind_to_list(const json_value *list, int threads, failure *why)
{
    core_list cores = {.count = 0};
    int64_t core;
    if (list->type != JSON_ARRAY)
        return fail(why, FAILED_REQUEST, "cores must be an array of integers or null");
    for (const json_value *item = list->first; item != NULL; item = item->next) {
        if (!json_integer(item, INT32_MIN, INT32_MAX, &core))
            return fail(why, FAILED_REQUEST, "cores must be an array of integers or null");
        if (core < 0 || core >= MAX_CORES)
            return fail(why, FAILED_CORES, "there is no core %lld", (long long)core);
        if (cores.count == MAX_CORES)
            return fail(why, FAILED_CORES, "more than %d cores", MAX_CORES);
        cores.cores[cores.count++] = (int)core;
    }
    cpu_set_t distinct;
    CPU_ZERO(&distinct);
    for (int i = 0; i < cores.count; i++)
        CPU_SET(cores.cores[i], &distinct);
    if (CPU_COUNT(&distinct) < threads)
        return fail(why, FAILED_CORES, "%d threads on %d cores", threads, CPU_COUNT(&distinct));
    for (int i = 0; i < cores.count; i++) {
        core_list one = {.cores = {cores.cores[i]}, .count = 1};
        if (!bind_to(&one))
            return fail(why, FAILED_CORES, "this process may not run on core %d: %s", cores.cores[i],
                        strerror(errno));
    }
    return bind_to(&cores) || fail(why, FAILED_CORES, "binding to the cores: %s", strerror(errno));
}

/* A power mode uses the existing cores; with too few, fewer threads run, and the answer reports it. */
static bool bind_to_mode(engine_config *config, failure *why)
{
    core_list cores = power_mode_cores(config->mode, config->threads);
    int limit = core_limit();
    if (cores.count == 0)
        return config->threads <= limit ||
               fail(why, FAILED_THREADS, "%d threads; there are %d cores", config->threads, limit);
    config->threads = cores.count;
    if (!bind_to(&cores)) {
        snprintf(binding_note, sizeof binding_note, "none: the kernel refused (%s)", strerror(errno));
        config->mode = POWER_NO_BIND;
    }
    return true;
}

static bool bind(const json_value *request, engine_config *config, failure *why)
{
    const json_value *list = json_member(request, "cores");
    if (list != NULL && config->mode != POWER_NONE && config->mode != POWER_NO_BIND)
        return fail(why, FAILED_REQUEST, "cores and power_mode exclude each other");
    if (list != NULL)
        return bind_to_list(list, config->threads, why);
    return bind_to_mode(config, why);
}

static void list_names(const tensor_info *infos, int count, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", infos[i].name);
}

/* Compares the request's inputs with the model's; the request tells what the engine does not know. */
static bool settle_inputs(tensor_info inputs[MAX_TENSORS], failure *why)
{
    int count = engine_inputs(inputs);
    bool same = count == runner.input_count;
    for (int i = 0; same && i < count; i++)
        same = strcmp(inputs[i].name, runner.inputs[i].name) == 0;
    if (!same) {
        char wanted[400], given[400];
        list_names(inputs, count, wanted, sizeof wanted);
        list_names(runner.inputs, runner.input_count, given, sizeof given);
        return fail(why, FAILED_UNSUPPORTED, "the model takes the inputs %s, not %s", wanted, given);
    }
    for (int i = 0; i < count; i++) {
        const tensor_info *given = &runner.inputs[i];
        if (inputs[i].dtype == NULL)
            inputs[i].dtype = given->dtype;
        if (strcmp(inputs[i].dtype, given->dtype) != 0)
            return fail(why, FAILED_UNSUPPORTED, "input %s is %s, not %s", given->name, inputs[i].dtype,
                        given->dtype);
        if (inputs[i].shape.rank < 0) {
            inputs[i].shape = given->shape;
            inputs[i].shape.dims[0] = -1;
        }
        runner.accepted[i] = inputs[i].shape;
    }
    return check_shapes(runner.inputs, why);
}

static void append_options(json_text *out, const engine_config *config)
{
    json_append(out, ",\"options\":{");
    for (int i = 0; i < config->option_count; i++) {
        json_append(out, "%s", i ? "," : "");
        json_append_string(out, config->options[i].name);
        json_append(out, ":");
        json_append_string(out, config->options[i].value);
    }
    if (binding_note[0] != '\0') {
        json_append(out, "%s\"binding\":", config->option_count ? "," : "");
        json_append_string(out, binding_note);
    }
    json_append(out, "}");
}

static bool load_model(const json_value *request, engine_config *config, json_text *answer, failure *why)
{
    static tensor_info inputs[MAX_TENSORS], outputs[MAX_TENSORS];
    int requested = config->threads;
    if (!bind(request, config, why))
        return false;
    int64_t start = steady_ns();
    if (!engine_open(why))
        return false;
    int threads_before = thread_count();
    if (!engine_load(config, why))
        return false;
    int64_t load_ns = steady_ns() - start;
    /* The first inference is part of loading: only then do all threads exist and are all shapes checked. */
    if (!settle_inputs(inputs, why) || !fill_inputs(0, why) ||
        !timed_inference(&runner.first_run_ns, why))
        return false;
    int threads_after = thread_count();
    core_list cores = allowed_cores();
    json_append(answer, ",\"protocol\":%d,\"engine\":\"%s\",\"engine_version\":", PROTOCOL_VERSION, engine_name);
    json_append_string(answer, engine_version(why));
    json_append(answer, ",\"load_ns\":%lld,\"requested_threads\":%d,\"effective_threads\":", (long long)load_ns,
                requested);
    if (threads_before > 0 && threads_after > 0)
        json_append(answer, "%d", threads_after - threads_before + 1);
    else
        json_append(answer, "null");
    append_cores(answer, "cores", &cores);
    append_tensors(answer, "inputs", inputs, runner.input_count);
    append_tensors(answer, "outputs", outputs, engine_outputs(outputs));
    append_options(answer, config);
    json_append(answer, ",\"pid\":%d", (int)getpid());
    return true;
}

bool serve_load(const json_value *request, json_text *answer, failure *why)
{
    int64_t threads = 1;
    engine_config config = {0};
    if (!take_protocol(request, why))
        return false;
    if (runner.loaded)
        return fail(why, FAILED_REQUEST, "a model is loaded already");
    if (!take_string(request, "model", &config.model, why) ||
        !take_integer(request, "threads", 1, INT32_MAX, &threads, why) ||
        !take_power_mode(request, &config.mode, why) || !take_options(request, &config, why) ||
        !take_inputs(request, runner.inputs, &runner.input_count, why))
        return false;
    config.threads = (int)threads;
    if (json_member(request, "params") != NULL)
        return fail(why, FAILED_UNSUPPORTED, "%s models are one file; params must be null", engine_name);
    if (!read_model(config.model, NULL, why))
        return false;
    cpu_set_t before;
    bool known = sched_getaffinity(0, sizeof before, &before) == 0;
    binding_note[0] = '\0';
    runner.loaded = load_model(request, &config, answer, why);
    if (!runner.loaded && known)
        sched_setaffinity(0, sizeof before, &before); /* restore the cores for the next attempt */
    return runner.loaded;
}
