// Answers by task: what a network's outputs mean, as one JSON line a picture.
#pragma once

#include "model.h"

#include <array>

extern "C" {
#include "../json.h"
}

namespace edgekit {

// An output of the network for one picture, valid until the next run.
struct Output {
    std::string dtype; // as numpy spells it
    std::vector<int64_t> shape;
    const void *data;

    const float *floats() const { return static_cast<const float *>(data); }
    std::string describe() const; // float32[1,7600,10]
};

struct Seen {
    std::string path;
    int width, height; // of the picture, pixels
    Frame frame;
};

struct Asked {
    int top_k = 0;    // 0: the task's own number
    std::string maps; // directory for label maps; empty: none are written
};

// A JSON object that is built member by member.
class Line {
public:
    Line() = default;
    Line(const Line &) = delete;
    ~Line();
    void integer(const char *key, int64_t value);
    void text(const char *key, const std::string &value);
    void texts(const char *key, const std::vector<std::string> &values);
    void integers(const char *key, const std::vector<int> &values);
    void numbers(const char *key, const std::vector<double> &values, const char *format);
    void boxes(const char *key, const std::vector<std::array<float, 4>> &corners);
    // The names of classes; none where the model has no labels.
    void names(const char *key, const std::vector<int> &classes, const Model &model);
    // Writes the line to stdout. Throws Error where that fails.
    void print();

private:
    void member(const char *key);
    json_text text_ = {};
};

// Each throws Error where the outputs do not fit the task.
void classify(const Model &model, const std::vector<Output> &outputs, const Seen &seen, const Asked &asked, Line &line);
void detect(const Model &model, const std::vector<Output> &outputs, const Seen &seen, const Asked &asked, Line &line);
void segment(const Model &model, const std::vector<Output> &outputs, const Seen &seen, const Asked &asked, Line &line);

} // namespace edgekit
