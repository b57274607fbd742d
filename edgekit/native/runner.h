/* The runner between protocol and engine: loads one model, times it, runs files through it. */
#ifndef EDGEKIT_RUNNER_H
#define EDGEKIT_RUNNER_H

#include "json.h"

#include "engine.h"

enum { PROTOCOL_VERSION = 3, MARK_SYSCALL = 0xE5E5 };

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
    int input_count;
    tensor_info inputs[MAX_TENSORS];    /* inputs of the `load` request */
    tensor_shape accepted[MAX_TENSORS]; /* shapes that they must match; -1 for any size */
    int64_t first_run_ns;               /* -1 once it has been reported */
} runner_state;
extern runner_state runner;

/* Read a member of a request; refuse a wrong type or a value out of range as malformed. A missing integer
 * leaves *result, which the caller has set to the default; a missing string or shape is refused. */
bool take_integer(const json_value *request, const char *name, int64_t low, int64_t high, int64_t *result,
                  failure *why);
bool take_string(const json_value *request, const char *name, const char **result, failure *why);
/* Reads an array of positive sizes, which is a member `name` of a request or a part of one. */
bool take_shape(const json_value *value, const char *name, tensor_shape *shape, failure *why);
/* Reads the member `inputs`: an array of objects of name, dtype and shape. */
bool take_inputs(const json_value *request, tensor_info inputs[MAX_TENSORS], int *count, failure *why);

/* Refuses inputs of shapes that the model does not accept or that do not fit into memory. */
bool check_shapes(const tensor_info inputs[], failure *why);
/* Fills the loaded inputs with pseudo-random numbers from the seed, of the ranges that the protocol names. */
bool fill_inputs(int64_t seed, failure *why);
/* Times one inference on the steady clock. */
bool timed_inference(int64_t *elapsed_ns, failure *why);

void append_tensors(json_text *out, const char *name, const tensor_info *infos, int count);
void append_cores(json_text *out, const char *name, const core_list *cores);

#endif
