/* Interface of an engine; one of engine_*.c is linked into each runner.
 *
 * A process has one model, so the engine keeps it in static variables. A function that can fail writes the
 * reason to `why` and returns false. */
#ifndef EDGEKIT_ENGINE_H
#define EDGEKIT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "failure.h"
#include "machine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MAX_RANK = 8, MAX_OPTIONS = 16, MAX_TENSORS = 64 };

typedef struct {
    int rank;               /* -1: unknown */
    int64_t dims[MAX_RANK]; /* -1: dynamic */
} tensor_shape;

typedef struct {
    char name[256];
    const char *dtype; /* as numpy spells it; NULL: unknown */
    tensor_shape shape;
} tensor_info;

typedef struct {
    const char *name;
    const char *value;
} engine_option;

typedef struct {
    const char *model;
    int threads;
    power_mode mode;
    engine_option options[MAX_OPTIONS];
    int option_count;
} engine_config;

extern const char *const engine_name;

/* Returns the engine's own version; NULL where its library cannot be loaded, with the reason in `why`. */
const char *engine_version(failure *why);

/* Starts the engine without a model; threads that it starts here are not counted as the model's. */
bool engine_open(failure *why);

/* Loads the model, in place of an earlier one. Unknown options are refused as unsupported. On success
 * `config->options` holds the effective options. */
bool engine_load(engine_config *config, failure *why);

/* Return the number of inputs or outputs and describe them, after the load. An output's shape may be known
 * only after a run. */
int engine_inputs(tensor_info infos[MAX_TENSORS]);
int engine_outputs(tensor_info infos[MAX_TENSORS]);

/* Returns memory for an input of this type and shape, in C order. The caller asks for every input and fills it
 * before engine_run. */
void *engine_input(int index, const tensor_info *input, failure *why);

/* Runs one inference; a sample times this call alone. */
bool engine_run(failure *why);

/* Returns an output of the last run in C order, valid until the next run, and stores its type and shape. */
const void *engine_output(int index, tensor_info *output, failure *why);

#ifdef __cplusplus
}
#endif

/* The types that go through the protocol. */
static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {{"float32", 4}, {"float16", 2}, {"float64", 8}, {"int64", 8},
              {"int32", 4},   {"int8", 1},    {"uint8", 1},   {"bool", 1}};

enum { DTYPES = sizeof dtypes / sizeof *dtypes };

/* Returns the bytes of a type that goes through the protocol; 0 for any other. */
static inline size_t dtype_bytes(const char *dtype)
{
    for (int i = 0; i < DTYPES; i++)
        if (strcmp(dtype, dtypes[i].name) == 0)
            return dtypes[i].bytes;
    return 0;
}

/* Returns the bytes of a tensor without dynamic dimensions; 0 where it has none or too many to address. */
static inline size_t tensor_bytes(const tensor_info *tensor)
{
    size_t bytes = dtype_bytes(tensor->dtype);
    for (int i = 0; i < tensor->shape.rank; i++)
        if (__builtin_mul_overflow(bytes, (size_t)tensor->shape.dims[i], &bytes))
            return 0;
    return bytes > SIZE_MAX / 2 ? 0 : bytes;
}

#endif
