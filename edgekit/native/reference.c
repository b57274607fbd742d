/* The request `reference`: times a fixed workload, which separates the machine's drift from the model's. */
#include "runner.h"
#include "sha256.h"

#include <stdlib.h>
#include <string.h>

/* The host's worker does equal work. It never changes: results compare it across edgekit's versions. */
enum { BYTES = 2 << 20, RUNS = 21 };

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

bool serve_reference(json_text *answer, failure *why)
{
    unsigned char *block = malloc(BYTES), *copy = malloc(BYTES);
    char hex[SHA256_HEX_SIZE];
    int64_t times[RUNS];
    if (block == NULL || copy == NULL) {
        free(block);
        free(copy);
        return fail(why, FAILED_MEMORY, "twice %d bytes for the reference workload", BYTES);
    }
    for (int i = 0; i < BYTES; i++)
        block[i] = (unsigned char)i;
    for (int run = 0; run < RUNS; run++) {
        int64_t start = steady_ns();
        memcpy(copy, block, BYTES);
        sha256_portable(copy, BYTES, hex);
        times[run] = steady_ns() - start;
    }
    free(block);
    free(copy);
    qsort(times, RUNS, sizeof *times, by_size);
    json_append(answer, ",\"reference_ns\":%lld,\"sha256\":\"%s\"", (long long)times[RUNS / 2], hex);
    return true;
}
