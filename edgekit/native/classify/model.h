// An exported model as its manifest.json describes it: file, preprocessing, labels, and what the outputs mean.
#pragma once

#include "picture.h"

#include <optional>
#include <string>
#include <vector>

namespace edgekit {

// A resize of the short side, within bounds or to a size, a centre crop to a size, or padding up to one.
struct Step {
    bool crop = false;
    bool pad = false;
    bool cubic = false;
    int short_side = 0;                   // 0: to the size, or within bounds
    int within_short = 0, within_long = 0; // 0: to the size, or of the short side
    int width = 0, height = 0;
    bool has_level = false; // of padding: false for 0 after normalising
    float level[3] = {};    // by channel in the network's order, before normalising
};

struct Preprocess {
    std::vector<Step> steps; // the last one sets the size of the network's input
    bool bgr = false, grey = false;
    float scale = 0;
    float mean[3] = {};
    float std[3] = {};
};

// Piece of an attribute's text, decided by the scores of some classes (edgekit/core/attributes.py).
struct Part {
    std::vector<int> classes;
    std::vector<std::string> names;
    bool every = false;
    std::optional<double> above;
    bool at_least = false;
    std::optional<std::string> otherwise;
    std::string form = "{name}";
};

struct Attribute {
    std::string begins;
    std::vector<Part> parts;
};

// How a classifier's scores become its answer (edgekit/core/spec.py, Postprocess).
struct ClassRule {
    enum class Kind { topk, threshold, multilabel, attributes } kind = Kind::topk;
    int top_k = 0; // 0: five
    std::vector<double> thresholds;
    int default_class = 0;
    std::vector<Attribute> attributes;
    std::optional<std::string> joined;
};

// How a detector's outputs become boxes (edgekit/core/boxes.py).
struct BoxesRule {
    std::vector<int> strides; // empty where the model gives boxes itself
    int bins = 8;
    double nms_threshold = 0.6;
    int nms_top_k = 1000, keep_top_k = 100;
    double answer_threshold = 0.5;
};

enum class Task { classification, detection, segmentation };

struct Model {
    std::string path;   // the ONNX file
    std::string sha256; // its content's, as exported
    Task task = Task::classification;
    int num_classes = 0;
    bool logits = false; // of a classifier
    ClassRule rule;      // of a classifier
    BoxesRule boxes;     // of a detector
    Preprocess preprocess;
    std::vector<std::string> labels; // empty where the model has none
};

// Reads DIRECTORY/manifest.json. Throws Error where it is missing, damaged, or asks for what is not here.
Model read_model(const std::string &directory);

// Place of a picture in the network's input, pixels: input = picture * scale + offset.
struct Frame {
    double scale_x = 1, scale_y = 1, offset_x = 0, offset_y = 0;
    int shown_width = 0, shown_height = 0; // without padding
};

// Writes float32[channels, height, width], equal to edgekit.vision.preprocess to the bit where the pixels are.
Frame preprocess(const Picture &picture, const Preprocess &parameters, float *out);

} // namespace edgekit
