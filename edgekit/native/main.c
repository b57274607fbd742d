/* The native runner: JSON lines in, JSON lines out; edgekit/runners/protocol.py defines them.
 *
 * Usage: edgekit-runner-ENGINE [--version] */
#include "runner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef EDGEKIT_VERSION
#define EDGEKIT_VERSION "0"
#endif
#ifndef EDGEKIT_BUILD_ID
#define EDGEKIT_BUILD_ID "unknown"
#endif

enum { MAX_LINE = 1 << 20 };

static int answers = STDOUT_FILENO;

static const char *const operations[] = {"check", "load", "run", "infer", "environment", "reference"};
static const char *volatile serving; /* read by the signal handler */

static bool write_all(const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(answers, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        text += written;
        length -= (size_t)written;
    }
    return true;
}

/* Paddle Lite calls abort() on unsupported work. The request is still answered, then the process ends. */
static void answer_abort(int signal)
{
    (void)signal;
    bool loading = serving != NULL && strcmp(serving, "load") == 0;
    static const char head[] = "{\"ok\":false,\"op\":\"", middle[] = "\",\"error\":{\"code\":\"",
                      tail[] = "\",\"message\":\"the engine aborted; its reason is on stderr\"}}\n";
    const char *op = serving != NULL ? serving : "", *code = loading ? "model_invalid" : "runtime";
    if (write_all(head, sizeof head - 1) && write_all(op, strlen(op)) &&
        write_all(middle, sizeof middle - 1) && write_all(code, strlen(code)))
        write_all(tail, sizeof tail - 1);
    _exit(loading ? FAILED_MODEL_INVALID : FAILED_RUNTIME);
}

/* Reads a line without its end into `line`. Returns the length, -1 at end of file, -2 for too long a line. */
static long read_line(char *line)
{
    long length = 0;
    int c;
    while ((c = getc_unlocked(stdin)) != EOF && c != '\n') {
        if (length < MAX_LINE)
            line[length] = (char)c;
        length++;
    }
    if (c == EOF && length == 0)
        return -1;
    if (length > MAX_LINE)
        return -2;
    line[length] = '\0';
    return length;
}

static bool serve(const json_value *request, json_text *answer, failure *why)
{
    if (strcmp(serving, "environment") == 0)
        return serve_environment(answer);
    if (strcmp(serving, "reference") == 0)
        return serve_reference(answer, why);
    if (strcmp(serving, "check") == 0)
        return serve_check(request, answer, why);
    if (strcmp(serving, "load") == 0)
        return serve_load(request, answer, why);
    if (!runner.loaded)
        return fail(why, FAILED_REQUEST, "no model is loaded");
    return strcmp(serving, "run") == 0 ? serve_run(request, answer, why) : serve_infer(request, answer, why);
}

static bool understand(const json_document *document, failure *why)
{
    const char *op;
    if (document->error != NULL)
        return fail(why, FAILED_REQUEST, "the request is no JSON: %s", document->error);
    if (document->values[0].type != JSON_OBJECT)
        return fail(why, FAILED_REQUEST, "the request is no JSON object");
    if (!take_string(document->values, "op", &op, why))
        return false;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (strcmp(op, operations[i]) == 0)
            serving = operations[i];
    return serving != NULL || fail(why, FAILED_REQUEST, "unknown op %s", op);
}

/* Answers one line; returns the failure's code, or 0 where the answer is ok. */
static failure_code answer_line(const char *line, long length)
{
    failure why = {.code = FAILED_NOT};
    json_text answer = {0}, body = {0};
    json_document document = {0};
    bool ok = length >= 0 || fail(&why, FAILED_REQUEST, "the request is longer than %d bytes", MAX_LINE);
    serving = NULL;
    if (ok) {
        document = json_parse(line, (size_t)length);
        ok = understand(&document, &why) && serve(document.values, &body, &why);
    }
    if (ok && body.failed)
        ok = fail(&why, FAILED_MEMORY, "no memory for the answer");
    const char *quote = serving != NULL ? "\"" : "";
    json_append(&answer, "{\"ok\":%s,\"op\":%s%s%s", ok ? "true" : "false", quote,
                serving != NULL ? serving : "null", quote);
    if (ok) {
        json_append(&answer, "%s}\n", body.text != NULL ? body.text : "");
    } else {
        json_append(&answer, ",\"error\":{\"code\":\"%s\",\"message\":", failure_name(why.code));
        json_append_string(&answer, why.message);
        json_append(&answer, "}}\n");
    }
    if (answer.failed || !write_all(answer.text, answer.length))
        why.code = why.code != FAILED_NOT ? why.code : answer.failed ? FAILED_MEMORY : FAILED_IO;
    json_free(&document);
    free(answer.text);
    free(body.text);
    return why.code;
}

static int print_version(void)
{
    failure why = {.code = FAILED_NOT};
    json_text out = {0};
    const char *version = engine_version(&why);
    json_append(&out, "{\"protocol\":%d,\"engine\":\"%s\",\"engine_version\":", PROTOCOL_VERSION, engine_name);
    if (version != NULL)
        json_append_string(&out, version);
    else
        json_append(&out, "null");
    json_append(&out, ",\"runner_version\":\"%s\",\"build_id\":\"%s\"}\n", EDGEKIT_VERSION, EDGEKIT_BUILD_ID);
    bool ok = !out.failed && write_all(out.text, out.length);
    free(out.text);
    return ok ? EXIT_SUCCESS : FAILED_IO;
}

int main(int argc, char **argv)
{
    /* Output of an engine goes to stderr; stdout is reserved for answers. */
    answers = dup(STDOUT_FILENO);
    if (answers < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        fprintf(stderr, "%s: stdout or stderr is closed\n", argv[0]);
        return FAILED_IO;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return print_version();
    if (argc != 1) {
        fprintf(stderr, "usage: %s [--version]\nRequests are JSON lines on stdin.\n", argv[0]);
        return 2;
    }
    char *line = malloc(MAX_LINE + 1);
    if (line == NULL)
        return FAILED_MEMORY;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGABRT, answer_abort);
    failure_code first = FAILED_NOT;
    for (long length; (length = read_line(line)) != -1;) {
        if (length >= 0 && strspn(line, " \t\r") >= (size_t)length)
            continue;
        failure_code code = answer_line(line, length);
        first = first != FAILED_NOT ? first : code;
    }
    free(line);
    return (int)first;
}
