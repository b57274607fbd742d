/* Members of requests and parts of answers. */
#include "runner.h"

#include <stdio.h>
#include <string.h>

bool take_integer(const json_value *request, const char *name, int64_t low, int64_t high, int64_t *result,
                  failure *why)
{
    const json_value *value = json_member(request, name);
    if (value == NULL || json_integer(value, low, high, result))
        return true;
    return fail(why, FAILED_REQUEST, "%s must be an integer of %lld to %lld", name, (long long)low,
                (long long)high);
}

bool take_string(const json_value *request, const char *name, const char **result, failure *why)
{
    const json_value *value = json_member(request, name);
    if (value == NULL || value->type != JSON_STRING || value->string[0] == '\0')
        return fail(why, FAILED_REQUEST, "%s must be a string that is not empty", name);
    *result = value->string;
    return true;
}

static void describe_shape(const tensor_shape *shape, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < shape->rank && used < size; i++) {
        if (shape->dims[i] < 0)
            used += (size_t)snprintf(text + used, size - used, "%s?", i ? "x" : "");
        else
            used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? "x" : "",
                                     (long long)shape->dims[i]);
    }
}

bool take_shape(const json_value *value, const char *name, tensor_shape *shape, failure *why)
{
    if (value == NULL || value->type != JSON_ARRAY)
        return fail(why, FAILED_REQUEST, "%s: a shape must be an array of positive integers", name);
    shape->rank = 0;
    for (const json_value *item = value->first; item != NULL; item = item->next) {
        int64_t size;
        if (!json_integer(item, 1, 1LL << 53, &size))
            return fail(why, FAILED_REQUEST, "%s: a shape must be an array of positive integers", name);
        if (shape->rank == MAX_RANK)
            return fail(why, FAILED_SHAPE, "%s: a shape has more than %d dimensions", name, MAX_RANK);
        shape->dims[shape->rank++] = size;
    }
    return true;
}

/* Stores the type as a text that outlives the request. */
static bool take_dtype(const json_value *input, const char *name, const char **dtype, failure *why)
{
    const char *given = NULL;
    if (!take_string(input, "dtype", &given, why))
        return false;
    for (int i = 0; i < DTYPES; i++) {
        if (strcmp(given, dtypes[i].name) == 0) {
            *dtype = dtypes[i].name;
            return true;
        }
    }
    return fail(why, FAILED_UNSUPPORTED, "input %s as %s, which no runner knows", name, given);
}

bool take_inputs(const json_value *request, tensor_info inputs[MAX_TENSORS], int *count, failure *why)
{
    const json_value *list = json_member(request, "inputs");
    *count = 0;
    if (list == NULL || list->type != JSON_ARRAY || list->first == NULL)
        return fail(why, FAILED_REQUEST, "inputs must be an array of objects that is not empty");
    for (const json_value *item = list->first; item != NULL; item = item->next) {
        const char *name = NULL;
        if (item->type != JSON_OBJECT)
            return fail(why, FAILED_REQUEST, "inputs must be an array of objects that is not empty");
        if (*count == MAX_TENSORS)
            return fail(why, FAILED_UNSUPPORTED, "more than %d inputs", MAX_TENSORS);
        tensor_info *input = &inputs[(*count)++];
        if (!take_string(item, "name", &name, why) || !take_dtype(item, name, &input->dtype, why) ||
            !take_shape(json_member(item, "shape"), "inputs", &input->shape, why))
            return false;
        if ((size_t)snprintf(input->name, sizeof input->name, "%s", name) >= sizeof input->name)
            return fail(why, FAILED_UNSUPPORTED, "an input with a name of %zu bytes", strlen(name));
    }
    return true;
}

static bool check_shape(const tensor_info *input, const tensor_shape *accepted, failure *why)
{
    char got[160], wanted[160];
    bool same = input->shape.rank == accepted->rank;
    for (int i = 0; same && i < accepted->rank; i++)
        same = accepted->dims[i] < 0 || accepted->dims[i] == input->shape.dims[i];
    if (same)
        return true;
    describe_shape(&input->shape, got, sizeof got);
    describe_shape(accepted, wanted, sizeof wanted);
    return fail(why, FAILED_SHAPE, "input %s of %s; the model takes %s", input->name, got, wanted);
}

bool check_shapes(const tensor_info inputs[], failure *why)
{
    int64_t available;
    size_t total = 0;
    for (int i = 0; i < runner.input_count; i++) {
        char got[160];
        if (!check_shape(&inputs[i], &runner.accepted[i], why))
            return false;
        size_t bytes = tensor_bytes(&inputs[i]);
        describe_shape(&inputs[i].shape, got, sizeof got);
        if (bytes == 0 || __builtin_add_overflow(total, bytes, &total) ||
            (available_memory(&available) && total > (size_t)available))
            return fail(why, FAILED_MEMORY, "input %s of %s does not fit into memory", inputs[i].name, got);
    }
    return true;
}

static void append_shape(json_text *out, const tensor_shape *shape)
{
    json_append(out, "[");
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dims[i] < 0)
            json_append(out, "%snull", i ? "," : "");
        else
            json_append(out, "%s%lld", i ? "," : "", (long long)shape->dims[i]);
    }
    json_append(out, "]");
}

void append_tensors(json_text *out, const char *name, const tensor_info *infos, int count)
{
    json_append(out, ",\"%s\":[", name);
    for (int i = 0; i < count; i++) {
        json_append(out, "%s{\"name\":", i ? "," : "");
        json_append_string(out, infos[i].name);
        json_append(out, ",\"dtype\":\"%s\",\"shape\":", infos[i].dtype);
        append_shape(out, &infos[i].shape);
        json_append(out, "}");
    }
    json_append(out, "]");
}

void append_cores(json_text *out, const char *name, const core_list *cores)
{
    json_append(out, ",\"%s\":[", name);
    for (int i = 0; i < cores->count; i++)
        json_append(out, "%s%d", i ? "," : "", cores->cores[i]);
    json_append(out, "]");
}
