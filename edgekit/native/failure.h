/* Reasons for refusing a request; edgekit/runners/protocol.py defines the codes and exit codes. */
#ifndef EDGEKIT_FAILURE_H
#define EDGEKIT_FAILURE_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    FAILED_NOT = 0,
    FAILED_PROTOCOL = 10,
    FAILED_REQUEST,
    FAILED_MODEL_MISSING,
    FAILED_MODEL_INVALID,
    FAILED_HASH_MISMATCH,
    FAILED_SHAPE,
    FAILED_THREADS,
    FAILED_CORES,
    FAILED_UNSUPPORTED,
    FAILED_RUNTIME,
    FAILED_IO,
    FAILED_MEMORY,
} failure_code; /* the value is the exit code */

typedef struct {
    failure_code code;
    char message[1024];
} failure;

/* Stores a failure and returns false, so that `return fail(…)` ends a step. */
bool fail(failure *why, failure_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
const char *failure_name(failure_code code);

#ifdef __cplusplus
}
#endif

#endif
