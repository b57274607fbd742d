/* An engine for tests of the runner's core: its output is its input; on request it misbehaves. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

const char *const engine_name = "idle";

static tensor_shape shape;
static float *data;
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

/* Option `on_run`: `abort` as Paddle Lite does, `crash`; `fail_in`: the run that fails. */
static const char *on_run = "";

bool engine_load(engine_config *config, failure *why)
{
    for (int i = 0; i < config->option_count; i++) {
        if (strcmp(config->options[i].name, "on_run") == 0)
            on_run = strdup(config->options[i].value);
        else if (strcmp(config->options[i].name, "fail_in") == 0)
            fail_in = atoi(config->options[i].value);
        else
            return fail(why, FAILED_REQUEST, "no option %s", config->options[i].name);
    }
    return true;
}

int engine_inputs(tensor_info infos[MAX_TENSORS])
{
    memset(&infos[0], 0, sizeof infos[0]);
    strcpy(infos[0].name, "x");
    infos[0].dtype = "float32";
    return 1;
}

int engine_outputs(tensor_info infos[MAX_TENSORS])
{
    engine_inputs(infos);
    infos[0].shape = shape;
    return 1;
}

float *engine_input(const tensor_shape *wanted, failure *why)
{
    free(data);
    data = malloc(shape_elements(wanted) * sizeof *data);
    if (data == NULL)
        fail(why, FAILED_MEMORY, "no memory");
    shape = *wanted;
    return data;
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

const float *engine_output(tensor_shape *result, failure *why)
{
    (void)why;
    *result = shape;
    return data;
}
