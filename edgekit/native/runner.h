/* The runner between protocol and engine: it loads one model, times it, runs files through it. */
#ifndef EDGEKIT_RUNNER_H
#define EDGEKIT_RUNNER_H

#include "json.h"

#include "engine.h"

enum { PROTOCOL_VERSION = 2, MARK_SYSCALL = 0xE5E5 };

/* Each serves one request: it appends the answer's members after `op`, or notes why not. */
bool serve_check(const json_value *request, json_text *answer, failure *why);
bool serve_load(const json_value *request, json_text *answer, failure *why);
bool serve_run(const json_value *request, json_text *answer, failure *why);
bool serve_infer(const json_value *request, json_text *answer, failure *why);
bool serve_environment(json_text *answer);
bool serve_reference(json_text *answer, failure *why);

/* What load leaves for the others. */
typedef struct {
    bool loaded;
    tensor_shape input_shape; /* as loaded */
    tensor_shape accepted;    /* what an input must match; -1 where any size will do */
    int64_t first_run_ns;     /* -1 once it has been told */
} runner_state;
extern runner_state runner;

/* Members of a request, refused as malformed where they are of another type or outside their range; one
 * that is missing leaves an integer at its default, which the caller sets before, and refuses the others. */
bool take_integer(const json_value *request, const char *name, int64_t low, int64_t high, int64_t *result,
                  failure *why);
bool take_string(const json_value *request, const char *name, const char **result, failure *why);
bool take_shape(const json_value *request, const char *name, tensor_shape *shape, failure *why);

/* Refuses a shape that the model does not take or that memory cannot hold. */
bool check_shape(const tensor_shape *shape, failure *why);
/* The input of this shape, filled with numbers in [-1, 1) that follow from the seed. */
bool fill_input(const tensor_shape *shape, int64_t seed, failure *why);
/* One inference on the steady clock. */
bool timed_inference(int64_t *elapsed_ns, failure *why);

void append_shape(json_text *out, const tensor_shape *shape);
void append_cores(json_text *out, const char *name, const core_list *cores);

#endif
