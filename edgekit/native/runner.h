/* The runner between protocol and engine: loads one model, times it, runs files through it. */
#ifndef EDGEKIT_RUNNER_H
#define EDGEKIT_RUNNER_H

#include "json.h"

#include "engine.h"

enum { PROTOCOL_VERSION = 2, MARK_SYSCALL = 0xE5E5 };

/* Each serves one request: it appends the answer's members after `op`, or stores the failure in `why`. */
bool serve_check(const json_value *request, json_text *answer, failure *why);
bool serve_load(const json_value *request, json_text *answer, failure *why);
bool serve_run(const json_value *request, json_text *answer, failure *why);
bool serve_infer(const json_value *request, json_text *answer, failure *why);
bool serve_environment(json_text *answer);
bool serve_reference(json_text *answer, failure *why);

/* State that `load` sets for the other requests. */
typedef struct {
    bool loaded;
    tensor_shape input_shape; /* shape of the `load` request */
    tensor_shape accepted;    /* shape that inputs must match; -1 for any size */
    int64_t first_run_ns;     /* -1 once it has been reported */
} runner_state;
extern runner_state runner;

/* Read a member of a request; refuse a wrong type or a value out of range as malformed. A missing integer
 * leaves *result, which the caller has set to the default; a missing string or shape is refused. */
bool take_integer(const json_value *request, const char *name, int64_t low, int64_t high, int64_t *result,
                  failure *why);
bool take_string(const json_value *request, const char *name, const char **result, failure *why);
bool take_shape(const json_value *request, const char *name, tensor_shape *shape, failure *why);

/* Refuses a shape that the model does not accept or that does not fit into memory. */
bool check_shape(const tensor_shape *shape, failure *why);
/* Fills the input of this shape with pseudo-random numbers in [-1, 1) from the seed. */
bool fill_input(const tensor_shape *shape, int64_t seed, failure *why);
/* Times one inference on the steady clock. */
bool timed_inference(int64_t *elapsed_ns, failure *why);

void append_shape(json_text *out, const tensor_shape *shape);
void append_cores(json_text *out, const char *name, const core_list *cores);

#endif
