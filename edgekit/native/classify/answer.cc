#include "answer.h"

#include <cstdio>
#include <cstdlib>

namespace edgekit {

std::string Output::describe() const
{
    std::string text = dtype + "[";
    for (size_t i = 0; i < shape.size(); i++)
        text += (i ? "," : "") + std::to_string(shape[i]);
    return text + "]";
}

Line::~Line()
{
    std::free(text_.text);
}

void Line::member(const char *key)
{
    json_append(&text_, "%s\"%s\":", text_.length == 0 ? "{" : ",", key);
}

void Line::integer(const char *key, int64_t value)
{
    member(key);
    json_append(&text_, "%lld", static_cast<long long>(value));
}

void Line::text(const char *key, const std::string &value)
{
    member(key);
    json_append_string(&text_, value.c_str());
}

void Line::integers(const char *key, const std::vector<int> &values)
{
    member(key);
    for (size_t i = 0; i < values.size(); i++)
        json_append(&text_, "%s%d", i ? "," : "[", values[i]);
    json_append(&text_, "%s", values.empty() ? "[]" : "]");
}

void Line::numbers(const char *key, const std::vector<double> &values, const char *format)
{
    member(key);
    json_append(&text_, "[");
    for (size_t i = 0; i < values.size(); i++) {
        char number[64];
        std::snprintf(number, sizeof number, format, values[i]);
        json_append(&text_, "%s%s", i ? "," : "", number);
    }
    json_append(&text_, "]");
}

void Line::boxes(const char *key, const std::vector<std::array<float, 4>> &corners)
{
    member(key);
    json_append(&text_, "[");
    for (size_t i = 0; i < corners.size(); i++) {
        const std::array<float, 4> &each = corners[i];
        json_append(&text_, "%s[%.2f,%.2f,%.2f,%.2f]", i ? "," : "", static_cast<double>(each[0]),
                    static_cast<double>(each[1]), static_cast<double>(each[2]), static_cast<double>(each[3]));
    }
    json_append(&text_, "]");
}

void Line::texts(const char *key, const std::vector<std::string> &values)
{
    member(key);
    json_append(&text_, "[");
    for (size_t i = 0; i < values.size(); i++) {
        json_append(&text_, "%s", i ? "," : "");
        json_append_string(&text_, values[i].c_str());
    }
    json_append(&text_, "]");
}

void Line::names(const char *key, const std::vector<int> &classes, const Model &model)
{
    member(key);
    json_append(&text_, "[");
    for (size_t i = 0; i < classes.size() && !model.labels.empty(); i++) {
        json_append(&text_, "%s", i ? "," : "");
        json_append_string(&text_, model.labels[classes[i]].c_str());
    }
    json_append(&text_, "]");
}

void Line::print()
{
    json_append(&text_, "}\n");
    if (text_.failed || std::fwrite(text_.text, 1, text_.length, stdout) != text_.length)
        throw Error("writing the answer failed");
}

} // namespace edgekit
