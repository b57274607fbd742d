/* Members of requests and parts of answers. */
#include "runner.h"

#include <stdio.h>

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

bool take_shape(const json_value *request, const char *name, tensor_shape *shape, failure *why)
{
    const json_value *value = json_member(request, name);
    if (value == NULL || value->type != JSON_ARRAY)
        return fail(why, FAILED_REQUEST, "%s must be an array of positive integers", name);
    shape->rank = 0;
    for (const json_value *item = value->first; item != NULL; item = item->next) {
        int64_t size;
        if (!json_integer(item, 1, 1LL << 53, &size))
            return fail(why, FAILED_REQUEST, "%s must be an array of positive integers", name);
        if (shape->rank == MAX_RANK)
            return fail(why, FAILED_SHAPE, "%s has more than %d dimensions", name, MAX_RANK);
        shape->dims[shape->rank++] = size;
    }
    return shape->rank > 0 || fail(why, FAILED_REQUEST, "%s is empty", name);
}

bool check_shape(const tensor_shape *shape, failure *why)
{
    char got[160], wanted[160];
    bool same = shape->rank == runner.accepted.rank;
    for (int i = 0; same && i < shape->rank; i++)
        same = runner.accepted.dims[i] < 0 || runner.accepted.dims[i] == shape->dims[i];
    describe_shape(shape, got, sizeof got);
    describe_shape(&runner.accepted, wanted, sizeof wanted);
    if (!same)
        return fail(why, FAILED_SHAPE, "an input of %s; the model takes %s", got, wanted);
    int64_t available;
    size_t elements = shape_elements(shape);
    if (elements == 0 || (available_memory(&available) && elements > (size_t)available / sizeof(float)))
        return fail(why, FAILED_MEMORY, "an input of %s does not fit into memory", got);
    return true;
}

void append_shape(json_text *out, const tensor_shape *shape)
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

void append_cores(json_text *out, const char *name, const core_list *cores)
{
    json_append(out, ",\"%s\":[", name);
    for (int i = 0; i < cores->count; i++)
        json_append(out, "%s%d", i ? "," : "", cores->cores[i]);
    json_append(out, "]");
}
