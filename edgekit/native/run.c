/* The requests `run` and `infer`. */
#include "runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CORES_EVERY_NS = 100000000 };

typedef struct {
    int64_t warmup, warmup_ns, repeats, min_ns, max_ns, seed;
    bool mark;
} run_request;

typedef struct {
    int64_t *samples_ns;
    size_t count, capacity;
    int64_t warmup_runs, total_ns;
    cpu_set_t cores_seen;
    int64_t cores_read_at;
} run_result;

/* Writes one number in [-1, 1) as an element that models of this type compute with; `about_one` is for floats
 * that are no pictures, `spread` for bytes that are. */
static void store_number(void *memory, size_t index, const char *dtype, int32_t number, bool about_one, bool spread)
{
    float value = (float)number / 8388608.0f;
    value = about_one ? 1 + value / 4 : value;
    int whole = spread ? number / 65536 + (dtype[0] == 'u' ? 128 : 0) : number > 0;
    if (strcmp(dtype, "float32") == 0)
        ((float *)memory)[index] = value;
    else if (strcmp(dtype, "float64") == 0)
        ((double *)memory)[index] = (double)value;
    else if (strcmp(dtype, "float16") == 0) /* 1 to 1.25, or 0.5 to 1 of either sign: the exponent is fixed */
        ((uint16_t *)memory)[index] = (uint16_t)(about_one ? 0x3c00 | (number & 0xff)
                                                           : (number < 0 ? 0x8000 : 0) | 0x3800 | (number & 0x3ff));
    else if (strcmp(dtype, "int64") == 0)
        ((int64_t *)memory)[index] = whole;
    else if (strcmp(dtype, "int32") == 0)
        ((int32_t *)memory)[index] = whole;
    else
        ((uint8_t *)memory)[index] = (uint8_t)whole;
}

bool fill_inputs(int64_t seed, failure *why)
{
    /* Knuth's MMIX generator; the upper 24 bits of a state become a number. */
    uint64_t state = (uint64_t)seed * 2 + 1;
    for (int i = 0; i < runner.input_count; i++) {
        const tensor_info *input = &runner.inputs[i];
        void *memory = engine_input(i, input, why);
        if (memory == NULL)
            return false;
        bool is_float = input->dtype[0] == 'f', is_picture = input->shape.rank > 2;
        bool is_byte = strcmp(input->dtype, "uint8") == 0 || strcmp(input->dtype, "int8") == 0;
        size_t count = tensor_bytes(input) / dtype_bytes(input->dtype);
        for (size_t j = 0; j < count; j++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            store_number(memory, j, input->dtype, (int32_t)(state >> 40) - 8388608, is_float && !is_picture,
                         is_byte && is_picture);
        }
    }
    return true;
}

bool timed_inference(int64_t *elapsed_ns, failure *why)
{
    int64_t start = steady_ns();
    if (!engine_run(why))
        return false;
    *elapsed_ns = steady_ns() - start;
    return true;
}

/* Records the cores that threads run on: the calling thread's at any time, the others' ten times a second,
 * never within a sample. */
static void note_cores(run_result *result)
{
    int core = sched_getcpu();
    if (core >= 0 && core < CPU_SETSIZE)
        CPU_SET(core, &result->cores_seen);
    int64_t now = steady_ns();
    if (now - result->cores_read_at >= CORES_EVERY_NS) {
        add_cores_seen(&result->cores_seen);
        result->cores_read_at = now;
    }
}

static bool warm_up(const run_request *request, run_result *result, failure *why)
{
    int64_t start = steady_ns(), elapsed;
    result->warmup_runs = runner.first_run_ns >= 0; /* the inference of loading counts */
    while (result->warmup_runs < request->warmup || steady_ns() - start < request->warmup_ns) {
        if (!timed_inference(&elapsed, why))
            return false;
        result->warmup_runs++;
        note_cores(result);
    }
    return true;
}

static bool reserve_sample(run_result *result, failure *why)
{
    if (result->count < result->capacity)
        return true;
    size_t capacity = result->capacity ? result->capacity * 2 : 1024;
    int64_t *samples = realloc(result->samples_ns, capacity * sizeof *samples);
    if (samples == NULL)
        return fail(why, FAILED_MEMORY, "no memory for %zu samples", capacity);
    memset(samples + result->count, 0, (capacity - result->count) * sizeof *samples); /* map the pages now */
    result->samples_ns = samples;
    result->capacity = capacity;
    return true;
}

static bool measure(const run_request *request, run_result *result, failure *why)
{
    do {
        if (!reserve_sample(result, why))
            return false;
        int64_t *sample = &result->samples_ns[result->count];
        if (request->mark)
            syscall(MARK_SYSCALL, (long)(2 * result->count));
        if (!timed_inference(sample, why))
            return false;
        if (request->mark)
            syscall(MARK_SYSCALL, (long)(2 * result->count + 1));
        result->count++;
        result->total_ns += *sample;
        note_cores(result);
    } while (result->total_ns < request->max_ns &&
             (result->count < (size_t)request->repeats || result->total_ns < request->min_ns));
    return true;
}

static bool take_run(const json_value *request, run_request *run, failure *why)
{
    const json_value *mark = json_member(request, "mark");
    const int64_t most = 1LL << 53;
    if (mark != NULL && mark->type != JSON_BOOL)
        return fail(why, FAILED_REQUEST, "mark must be true or false");
    *run = (run_request){.warmup = 10, .warmup_ns = 500000000, .repeats = 100, .min_ns = 1000000000,
                         .max_ns = 60000000000, .mark = mark != NULL && mark->boolean};
    return take_integer(request, "warmup", 0, most, &run->warmup, why) &&
           take_integer(request, "warmup_ns", 0, most, &run->warmup_ns, why) &&
           take_integer(request, "repeats", 1, 1 << 30, &run->repeats, why) &&
           take_integer(request, "min_ns", 0, most, &run->min_ns, why) &&
           take_integer(request, "max_ns", 1, most, &run->max_ns, why) &&
           take_integer(request, "seed", -most, most, &run->seed, why);
}

static void append_run(json_text *answer, const run_result *result, int64_t cpu)
{
    int64_t bytes;
    if (runner.first_run_ns >= 0)
        json_append(answer, ",\"first_run_ns\":%lld", (long long)runner.first_run_ns);
    else
        json_append(answer, ",\"first_run_ns\":null");
    json_append(answer, ",\"warmup_runs\":%lld,\"samples_ns\":[", (long long)result->warmup_runs);
    for (size_t i = 0; i < result->count; i++)
        json_append(answer, "%s%lld", i ? "," : "", (long long)result->samples_ns[i]);
    json_append(answer, "],\"cpu_ns\":%lld", (long long)cpu);
    core_list seen = listed(&result->cores_seen);
    append_cores(answer, "cores_seen", &seen);
    if (peak_memory(&bytes))
        json_append(answer, ",\"peak_memory_bytes\":%lld", (long long)bytes);
    else
        json_append(answer, ",\"peak_memory_bytes\":null");
}

bool serve_run(const json_value *request, json_text *answer, failure *why)
{
    run_request run;
    run_result result = {0};
    if (!take_run(request, &run, why) || !fill_inputs(run.seed, why))
        return false;
    bool ok = warm_up(&run, &result, why);
    CPU_ZERO(&result.cores_seen);
    int64_t cpu_before = cpu_ns();
    ok = ok && measure(&run, &result, why);
    int64_t cpu = cpu_ns() - cpu_before;
    if (ok) {
        add_cores_seen(&result.cores_seen);
        append_run(answer, &result, cpu);
        runner.first_run_ns = -1;
    }
    free(result.samples_ns);
    return ok;
}

/* Fills every input from the file. */
static bool read_inputs(const char *path, const tensor_info inputs[], failure *why)
{
    size_t wanted = 0, got = 0;
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return fail(why, FAILED_IO, "input %s: %s", path, strerror(errno));
    bool bound = true;
    for (int i = 0; i < runner.input_count && bound; i++) {
        void *memory = engine_input(i, &inputs[i], why);
        bound = memory != NULL;
        if (bound && got == wanted)
            got += fread(memory, 1, tensor_bytes(&inputs[i]), file);
        wanted += tensor_bytes(&inputs[i]);
    }
    bool longer = bound && got == wanted && fgetc(file) != EOF;
    bool broken = ferror(file) != 0;
    int error = errno;
    fclose(file);
    if (!bound)
        return false;
    if (broken)
        return fail(why, FAILED_IO, "reading input %s: %s", path, strerror(error));
    if (got < wanted || longer)
        return fail(why, FAILED_IO, "input %s has %s than the %zu bytes of its shapes", path,
                    longer ? "more" : "fewer", wanted);
    return true;
}

static bool write_outputs(FILE *file, const tensor_info outputs[], const void *const values[], int count)
{
    for (int i = 0; i < count; i++) {
        size_t bytes = tensor_bytes(&outputs[i]);
        if (bytes > 0 && fwrite(values[i], 1, bytes, file) != bytes)
            return false;
    }
    return true;
}

static bool write_file(const char *path, const tensor_info outputs[], const void *const values[], int count,
                       failure *why)
{
    char part[4096];
    if ((size_t)snprintf(part, sizeof part, "%s.%d.part", path, (int)getpid()) >= sizeof part)
        return fail(why, FAILED_IO, "output: the path is too long");
    FILE *file = fopen(part, "wbe");
    if (file == NULL)
        return fail(why, FAILED_IO, "output %s: %s", path, strerror(errno));
    bool ok = write_outputs(file, outputs, values, count);
    ok = fclose(file) == 0 && ok;
    if (ok && rename(part, path) == 0)
        return true;
    fail(why, FAILED_IO, "writing output %s: %s", path, strerror(errno));
    remove(part);
    return false;
}

/* Stores the loaded inputs with the request's shapes. */
static bool take_shapes(const json_value *request, tensor_info inputs[MAX_TENSORS], failure *why)
{
    const json_value *list = json_member(request, "shapes");
    const json_value *item = list != NULL && list->type == JSON_ARRAY ? list->first : NULL;
    for (int i = 0; i < runner.input_count; i++, item = item->next) {
        if (item == NULL)
            return fail(why, FAILED_REQUEST, "shapes must be an array of %d shapes", runner.input_count);
        inputs[i] = runner.inputs[i];
        if (!take_shape(item, "shapes", &inputs[i].shape, why))
            return false;
    }
    if (item != NULL)
        return fail(why, FAILED_REQUEST, "shapes must be an array of %d shapes", runner.input_count);
    return check_shapes(inputs, why);
}

bool serve_infer(const json_value *request, json_text *answer, failure *why)
{
    static tensor_info inputs[MAX_TENSORS], outputs[MAX_TENSORS];
    const void *values[MAX_TENSORS];
    const char *input_path, *output_path;
    int64_t latency;
    if (json_member(request, "skip") != NULL || json_member(request, "at_once") != NULL)
        return fail(why, FAILED_UNSUPPORTED, "skip and at_once: this runner reads whole files at once");
    if (!take_string(request, "input", &input_path, why) ||
        !take_string(request, "output", &output_path, why) || !take_shapes(request, inputs, why) ||
        !read_inputs(input_path, inputs, why) || !timed_inference(&latency, why))
        return false;
    int count = engine_outputs(outputs);
    for (int i = 0; i < count; i++) {
        values[i] = engine_output(i, &outputs[i], why);
        if (values[i] == NULL)
            return false;
    }
    if (!write_file(output_path, outputs, values, count, why))
        return false;
    append_tensors(answer, "outputs", outputs, count);
    json_append(answer, ",\"latency_ns\":%lld", (long long)latency);
    return true;
}
