// An exported model as its manifest.json describes it: file, preprocessing, labels.
#pragma once

#include "picture.h"

#include <string>
#include <vector>

namespace edgekit {

struct Preprocess {
    int resize_short = 0; // 0: both sides to crop_size
    int crop_size = 0;
    bool bgr = false;
    float scale = 0;
    float mean[3] = {};
    float std[3] = {};
};

struct Model {
    std::string path;   // the ONNX file
    std::string sha256; // its content's, as exported
    int num_classes = 0;
    bool logits = false;
    Preprocess preprocess;
    std::vector<std::string> labels; // empty where the model has none
};

// Reads DIRECTORY/manifest.json. Throws Error where it is missing, damaged, or asks for what is not here.
Model read_model(const std::string &directory);

// float32[3, crop_size, crop_size], equal to edgekit.vision.preprocess to the bit.
void preprocess(const Picture &picture, const Preprocess &parameters, float *out);

} // namespace edgekit
