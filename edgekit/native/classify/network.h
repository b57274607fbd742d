// The network of a model in ONNX Runtime; a process has one.
#pragma once

#include "answer.h"

#include "../engine.h"

namespace edgekit {

class Network {
public:
    // Throws Error where the file is not the exported one, or has inputs that cannot be computed from a picture.
    Network(const Model &model, int threads);
    // Computes one picture, and stores its place in the input.
    std::vector<Output> run(const Model &model, const Picture &picture, Frame *frame);

private:
    std::vector<tensor_info> inputs_;
    size_t output_count_;
};

} // namespace edgekit
