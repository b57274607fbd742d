/* JSON of single lines: a parser into a tree, and a writer into a growing text. */
#ifndef EDGEKIT_JSON_H
#define EDGEKIT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } json_type;

/* A value. Children of an array or object are a list from `first` through `next`; children of an object
 * have a `key`. Texts are UTF-8 and end in NUL, which they do not contain otherwise. */
typedef struct json_value {
    json_type type;
    bool boolean;
    double number;
    const char *string;
    const char *key;
    struct json_value *first;
    struct json_value *next;
} json_value;

/* One parsed document, released by json_free. */
typedef struct {
    char *text;
    json_value *values;
    size_t count;
    const char *error; /* reason why the text is not JSON; NULL where it is */
} json_document;

/* Parses `length` bytes. The document's first value is its root; check `error` before using it. */
json_document json_parse(const char *text, size_t length);
void json_free(json_document *document);

/* Returns the member of an object; NULL where it is missing or null. */
const json_value *json_member(const json_value *object, const char *key);

/* Stores an integer within [low, high]; returns false for any other value. */
bool json_integer(const json_value *value, int64_t low, int64_t high, int64_t *result);

/* A growing text; it is marked as failed once memory runs out. */
typedef struct {
    char *text;
    size_t length;
    size_t capacity;
    bool failed;
} json_text;

void json_append(json_text *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends a quoted string; invalid UTF-8 becomes U+FFFD, so that the line is always JSON. */
void json_append_string(json_text *out, const char *string);

#endif
