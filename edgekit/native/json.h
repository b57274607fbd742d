/* JSON for one line at a time: a parser into a tree, and a writer into a growing text. */
#ifndef EDGEKIT_JSON_H
#define EDGEKIT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } json_type;

/* A value. Children of an array or object are a list from `first` through `next`; those of an object
 * carry their `key`. Texts are UTF-8, end in NUL and contain no other. */
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
    const char *error; /* what is wrong, NULL where the text is JSON */
} json_document;

/* Parses `length` bytes. The document's first value is its root; check `error` before using it. */
json_document json_parse(const char *text, size_t length);
void json_free(json_document *document);

/* The member of an object, or NULL where it is missing or null. */
const json_value *json_member(const json_value *object, const char *key);

/* An integer within [low, high]; false where the value is none. */
bool json_integer(const json_value *value, int64_t low, int64_t high, int64_t *result);

/* A growing text; once memory runs out it is marked failed and stays so. */
typedef struct {
    char *text;
    size_t length;
    size_t capacity;
    bool failed;
} json_text;

void json_append(json_text *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A quoted string; bytes that are no UTF-8 become U+FFFD, so that the line always is JSON. */
void json_append_string(json_text *out, const char *string);

#endif
