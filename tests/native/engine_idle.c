/* An engine for tests of the runner's core: its outputs are its inputs; on request it misbehaves. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

const char *const engine_name = "idle";

static tensor_info bound[MAX_TENSORS];
static void *data[MAX_TENSORS];
static int count = 1;
static int fail_in, runs;

const char *engine_version(failure *why)
{
    (void)why;
    return "1";
}

bool engine_open(failure *why)
{
    (void)why;
    return true;
}

/* Options: `on_run`: `abort` as Paddle Lite does, `crash`; `fail_in`: the run that fails; `inputs`: their number,
 * called x, y and so on, where the first is float32 and all others tell no type. */
static const char *on_run = "";

bool engine_load(engine_config *config, failure *why)
{
    for (int i = 0; i < config->option_count; i++) {
        if (strcmp(config->options[i].name, "on_run") == 0)
            on_run = strdup(config->options[i].value);
        else if (strcmp(config->options[i].name, "fail_in") == 0)
            fail_in = atoi(config->options[i].value);
        else if (strcmp(config->options[i].name, "inputs") == 0)
            count = atoi(config->options[i].value);
        else
            return fail(why, FAILED_REQUEST, "no option %s", config->options[i].name);
    }
    return true;
}

int engine_inputs(tensor_info infos[MAX_TENSORS])
{
    for (int i = 0; i < count; i++) {
        infos[i] = (tensor_info){.name = {(char)('x' + i)}, .dtype = i ? NULL : "float32", .shape.rank = -1};
    }
    return count;
}

int engine_outputs(tensor_info infos[MAX_TENSORS])
{
    memcpy(infos, bound, (size_t)count * sizeof *infos);
    return count;
}

void *engine_input(int index, const tensor_info *input, failure *why)
{
    free(data[index]);
    data[index] = malloc(tensor_bytes(input));
    if (data[index] == NULL)
        fail(why, FAILED_MEMORY, "no memory");
    bound[index] = *input;
    return data[index];
}

bool engine_run(failure *why)
{
    if (++runs == fail_in) /* once */
        return fail(why, FAILED_RUNTIME, "run %d fails", runs);
    if (runs > 1 && *on_run != '\0') {
        if (strcmp(on_run, "abort") == 0)
            abort();
        __builtin_trap();
    }
    return true;
}

const void *engine_output(int index, tensor_info *output, failure *why)
{
    (void)why;
    *output = bound[index];
    return data[index];
}
