#include "failure.h"

#include <stdarg.h>
#include <stdio.h>

bool fail(failure *why, failure_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    why->code = code;
    vsnprintf(why->message, sizeof why->message, format, arguments);
    va_end(arguments);
    return false;
}

const char *failure_name(failure_code code)
{
    static const char *const names[] = {"protocol", "request", "model_missing", "model_invalid",
                                        "hash_mismatch", "shape", "threads", "cores",
                                        "unsupported", "runtime", "io", "memory"};
    return names[code - FAILED_PROTOCOL];
}
