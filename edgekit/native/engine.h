/* What an engine is to the runner: one of engine_*.c is linked into each runner.
 *
 * There is one model a process, so the engine keeps it in its own file. A function that can fail notes
 * why and returns false. */
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

/* The engine's own version; NULL where its library cannot be loaded, with the reason in `why`. */
const char *engine_version(failure *why);

/* Starts the engine without a model; threads that it starts here are not counted as the model's. */
bool engine_open(failure *why);

/* Loads the model, in place of an earlier one. Options that the engine does not know are refused as unsupported. On success
 * `config->options` holds what took effect. */
bool engine_load(engine_config *config, failure *why);

/* Inputs and outputs, known after the load. An output's shape may be known only after a run. */
int engine_inputs(tensor_info infos[MAX_TENSORS]);
int engine_outputs(tensor_info infos[MAX_TENSORS]);

/* Room for one input of this shape, float32 in C order, which the caller fills before engine_run. */
float *engine_input(const tensor_shape *shape, failure *why);

/* One inference. This is all that a sample contains. */
bool engine_run(failure *why);

/* The first output of the last run, float32 in C order, valid until the next run. */
const float *engine_output(tensor_shape *shape, failure *why);

#ifdef __cplusplus
}
#endif

/* Elements of a shape without dynamic dimensions; 0 where they are too many to address. */
static inline size_t shape_elements(const tensor_shape *shape)
{
    size_t count = 1;
    for (int i = 0; i < shape->rank; i++)
        if (__builtin_mul_overflow(count, (size_t)shape->dims[i], &count))
            return 0;
    return count > SIZE_MAX / 2 / sizeof(float) ? 0 : count;
}

#endif
