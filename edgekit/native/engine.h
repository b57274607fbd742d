/* Interface of an engine; one of engine_*.c is linked into each runner.
 *
 * A process has one model, so the engine keeps it in static variables. A function that can fail writes the
 * reason to `why` and returns false. */
#ifndef EDGEKIT_ENGINE_H
#define EDGEKIT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "machine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MAX_RANK = 8, MAX_OPTIONS = 16, MAX_TENSORS = 16 };

typedef struct {
    int rank;
    int64_t dims[MAX_RANK]; /* -1: dynamic */
} tensor_shape;

typedef struct {
    char name[128];
    const char *dtype;
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

/* Returns memory for one input of this shape, float32 in C order; the caller fills it before engine_run. */
float *engine_input(const tensor_shape *shape, failure *why);

/* Runs one inference; a sample times this call alone. */
bool engine_run(failure *why);

/* Returns the first output of the last run, float32 in C order, valid until the next run. */
const float *engine_output(tensor_shape *shape, failure *why);

#ifdef __cplusplus
}
#endif

/* Returns the elements of a shape without dynamic dimensions; 0 where they are too many to address. */
static inline size_t shape_elements(const tensor_shape *shape)
{
    size_t count = 1;
    for (int i = 0; i < shape->rank; i++)
        if (__builtin_mul_overflow(count, (size_t)shape->dims[i], &count))
            return 0;
    return count > SIZE_MAX / 2 / sizeof(float) ? 0 : count;
}

#endif
