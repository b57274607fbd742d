#include "json.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 32 };

/* The parser works within a copy of the text: strings are unescaped in place, as they only shrink. */
typedef struct {
    char *at;
    char *end;
    json_value *values;
    size_t used;
    size_t capacity;
    const char *error;
} parser;

static void skip_space(parser *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r'))
        in->at++;
}

static bool fail(parser *in, const char *error)
{
    if (in->error == NULL)
        in->error = error;
    return false;
}

static bool take(parser *in, char wanted)
{
    skip_space(in);
    if (in->at >= in->end || *in->at != wanted)
        return false;
    in->at++;
    return true;
}

static json_value *new_value(parser *in)
{
    if (in->used == in->capacity) { /* cannot happen: the caller counted an upper bound */
        fail(in, "too many values");
        return NULL;
    }
    json_value *value = &in->values[in->used++];
    memset(value, 0, sizeof *value);
    return value;
}

static bool hex4(parser *in, uint32_t *code)
{
    *code = 0;
    if (in->end - in->at < 4)
        return fail(in, "a \\u escape is cut short");
    for (int i = 0; i < 4; i++) {
        int c = (unsigned char)*in->at++;
        if (!isxdigit(c))
            return fail(in, "a \\u escape has no four hexadecimal digits");
        *code = *code * 16 + (uint32_t)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
    }
    return true;
}

static char *put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    }
    return out;
}

static bool parse_escape(parser *in, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (in->at >= in->end)
        return fail(in, "an escape is cut short");
    char c = *in->at++;
    if (c != 'u') {
        const char *found = c != '\0' ? strchr(from, c) : NULL;
        if (found == NULL)
            return fail(in, "an unknown escape");
        *(*out)++ = to[found - from];
        return true;
    }
    uint32_t code, low;
    if (!hex4(in, &code))
        return false;
    if (code >= 0xd800 && code < 0xdc00) {
        if (in->end - in->at < 6 || in->at[0] != '\\' || in->at[1] != 'u')
            return fail(in, "half a surrogate pair");
        in->at += 2;
        if (!hex4(in, &low))
            return false;
        if (low < 0xdc00 || low >= 0xe000)
            return fail(in, "half a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return fail(in, "half a surrogate pair");
    }
    if (code == 0)
        return fail(in, "a NUL in a string");
    *out = put_utf8(*out, code);
    return true;
}

/* Parses a string after its opening quote; returns NULL where the string is invalid. */
static const char *parse_string(parser *in)
{
    char *start = in->at, *out = in->at;
    while (in->at < in->end) {
        unsigned char c = (unsigned char)*in->at++;
        if (c == '"') {
            *out = '\0'; /* at the latest, this overwrites the closing quote */
            return start;
        }
        if (c < 0x20) {
            fail(in, "a control character in a string");
            return NULL;
        }
        if (c != '\\')
            *out++ = (char)c;
        else if (!parse_escape(in, &out))
            return NULL;
    }
    fail(in, "a string without end");
    return NULL;
}

static bool parse_number(parser *in, json_value *value)
{
    const char *at = in->at;
    if (*at == '-')
        at++;
    if (!isdigit((unsigned char)*at) || (*at == '0' && isdigit((unsigned char)at[1])))
        return fail(in, "a value that is none");
    char *end;
    value->type = JSON_NUMBER;
    value->number = strtod(in->at, &end); /* the text ends in NUL */
    for (at = in->at; at < end; at++)
        if (strchr("0123456789+-.eE", *at) == NULL) /* strtod also reads hexadecimal */
            return fail(in, "a number that is none");
    if (!isfinite(value->number))
        return fail(in, "a number that is too large");
    in->at = end;
    return true;
}

static bool parse_word(parser *in, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(in->end - in->at) < length || memcmp(in->at, word, length) != 0)
        return fail(in, "a value that is none");
    in->at += length;
    return true;
}

static bool parse_value(parser *in, json_value *value, int depth);

static bool parse_children(parser *in, json_value *parent, char close, int depth)
{
    json_value **link = &parent->first;
    if (take(in, close))
        return true;
    do {
        const char *key = NULL;
        if (parent->type == JSON_OBJECT) {
            if (!take(in, '"'))
                return fail(in, "an object's member without a name");
            key = parse_string(in);
            if (key == NULL)
                return false;
            if (!take(in, ':'))
                return fail(in, "an object's member without a value");
        }
        json_value *child = new_value(in);
        if (child == NULL || !parse_value(in, child, depth))
            return false;
        child->key = key;
        *link = child;
        link = &child->next;
    } while (take(in, ','));
    return take(in, close) || fail(in, "an array or object without end");
}

static bool parse_value(parser *in, json_value *value, int depth)
{
    skip_space(in);
    if (depth > MAX_DEPTH)
        return fail(in, "nested too deeply");
    if (in->at >= in->end)
        return fail(in, "a value is missing");
    switch (*in->at) {
    case '{':
        in->at++;
        value->type = JSON_OBJECT;
        return parse_children(in, value, '}', depth + 1);
    case '[':
        in->at++;
        value->type = JSON_ARRAY;
        return parse_children(in, value, ']', depth + 1);
    case '"':
        in->at++;
        value->type = JSON_STRING;
        value->string = parse_string(in);
        return value->string != NULL;
    case 't':
        value->type = JSON_BOOL;
        value->boolean = true;
        return parse_word(in, "true");
    case 'f':
        value->type = JSON_BOOL;
        return parse_word(in, "false");
    case 'n':
        return parse_word(in, "null");
    default:
        return parse_number(in, value);
    }
}

json_document json_parse(const char *text, size_t length)
{
    json_document document = {0};
    size_t bound = 2; /* a value each comma and opening bracket, and the root */
    for (size_t i = 0; i < length; i++)
        bound += text[i] == ',' || text[i] == '[' || text[i] == '{';
    document.text = malloc(length + 1);
    document.values = calloc(bound, sizeof *document.values);
    if (document.text == NULL || document.values == NULL) {
        document.error = "not enough memory for the request";
        return document;
    }
    memcpy(document.text, text, length);
    document.text[length] = '\0';
    parser in = {.at = document.text, .end = document.text + length, .values = document.values,
                 .capacity = bound};
    if (parse_value(&in, new_value(&in), 0)) {
        skip_space(&in);
        if (in.at != in.end)
            fail(&in, "something after the end of the value");
    }
    document.count = in.used;
    document.error = in.error;
    return document;
}

void json_free(json_document *document)
{
    free(document->text);
    free(document->values);
    memset(document, 0, sizeof *document);
}

const json_value *json_member(const json_value *object, const char *key)
{
    const json_value *found = NULL;
    if (object == NULL || object->type != JSON_OBJECT)
        return NULL;
    for (const json_value *child = object->first; child != NULL; child = child->next)
        if (strcmp(child->key, key) == 0)
            found = child; /* of several members with one name the last counts, as in Python */
    return found == NULL || found->type == JSON_NULL ? NULL : found;
}

bool json_integer(const json_value *value, int64_t low, int64_t high, int64_t *result)
{
    /* Below 2^53 a double holds every integer. */
    if (value == NULL || value->type != JSON_NUMBER || fabs(value->number) > 9007199254740992.0)
        return false;
    if (value->number != floor(value->number))
        return false;
    int64_t integer = (int64_t)value->number;
    if (integer < low || integer > high)
        return false;
    *result = integer;
    return true;
}

static bool reserve(json_text *out, size_t more)
{
    if (out->failed)
        return false;
    if (out->capacity - out->length > more)
        return true;
    size_t capacity = out->capacity * 2 + more + 256;
    char *text = realloc(out->text, capacity);
    if (text == NULL) {
        out->failed = true;
        return false;
    }
    out->text = text;
    out->capacity = capacity;
    return true;
}

void json_append(json_text *out, const char *format, ...)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        va_list arguments;
        va_start(arguments, format);
        size_t room = out->capacity - out->length;
        int needed = vsnprintf(room ? out->text + out->length : NULL, room, format, arguments);
        va_end(arguments);
        if (needed < 0) {
            out->failed = true;
            return;
        }
        if ((size_t)needed < room) {
            out->length += (size_t)needed;
            return;
        }
        if (!reserve(out, (size_t)needed + 1))
            return;
    }
}

/* Returns the length of the well-formed UTF-8 sequence at `at`; 0 where there is none. */
static int utf8_length(const unsigned char *at)
{
    uint32_t code;
    int length;
    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xc2 && at[0] < 0xe0) {
        length = 2;
        code = at[0] & 0x1f;
    } else if (at[0] >= 0xe0 && at[0] < 0xf0) {
        length = 3;
        code = at[0] & 0x0f;
    } else if (at[0] >= 0xf0 && at[0] < 0xf5) {
        length = 4;
        code = at[0] & 0x07;
    } else {
        return 0;
    }
    for (int i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    if ((length == 3 && code < 0x800) || (length == 4 && (code < 0x10000 || code > 0x10ffff)))
        return 0;
    return code >= 0xd800 && code < 0xe000 ? 0 : length;
}

void json_append_string(json_text *out, const char *string)
{
    json_append(out, "\"");
    for (const unsigned char *at = (const unsigned char *)string; *at != '\0';) {
        int length = utf8_length(at);
        if (length == 0) {
            json_append(out, "\\ufffd");
            length = 1;
        } else if (*at == '"' || *at == '\\') {
            json_append(out, "\\%c", *at);
        } else if (*at < 0x20 || *at == 0x7f) {
            json_append(out, "\\u%04x", *at);
        } else {
            json_append(out, "%.*s", length, (const char *)at);
        }
        at += length;
    }
    json_append(out, "\"");
}
