#include "network.h"

extern "C" {
#include "../sha256.h"
}

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace edgekit {
namespace {

// PaddleDetection's inputs beside the picture, each float32[1,2] of height and width.
constexpr const char *INPUT_SIZE = "im_shape", *SCALE = "scale_factor";

void check(bool ok, const failure &why)
{
    if (!ok)
        throw Error(why.message);
}

void check_hash(const Model &model)
{
    char actual[SHA256_HEX_SIZE];
    FILE *file = std::fopen(model.path.c_str(), "rbe");
    if (file == nullptr)
        throw Error("reading " + model.path + ": " + std::strerror(errno));
    bool ok = sha256_file(file, actual);
    std::fclose(file);
    if (!ok || model.sha256 != actual)
        throw Error("reading " + model.path + ": its content is not the one that the manifest names");
}

} // namespace

Network::Network(const Model &model, int threads)
{
    failure why = {};
    engine_config config = {};
    config.model = model.path.c_str();
    config.threads = threads;
    config.mode = POWER_NONE;
    check_hash(model);
    check(engine_open(&why), why);
    check(engine_load(&config, &why), why);
    tensor_info infos[MAX_TENSORS];
    output_count_ = static_cast<size_t>(engine_outputs(infos));
    inputs_.assign(infos, infos + engine_inputs(infos));
    const Step &size = model.preprocess.steps.back();
    int pictures = 0;
    for (tensor_info &input : inputs_) {
        bool known = std::strcmp(input.dtype, "float32") == 0;
        if (known && input.shape.rank == 4) {
            input.shape = {4, {1, model.preprocess.grey ? 1 : 3, size.height, size.width}};
            pictures++;
        } else if (known && (std::string(input.name) == INPUT_SIZE || std::string(input.name) == SCALE)) {
            input.shape = {2, {1, 2}};
        } else {
            throw Error("reading " + model.path + ": its input " + input.name + " is no picture and no size of one");
        }
    }
    if (pictures != 1)
        throw Error("reading " + model.path + ": it takes " + std::to_string(pictures) + " pictures instead of one");
}

std::vector<Output> Network::run(const Model &model, const Picture &picture, Frame *frame)
{
    failure why = {};
    float *sizes[2] = {nullptr, nullptr};
    for (size_t i = 0; i < inputs_.size(); i++) {
        auto *data = static_cast<float *>(engine_input(static_cast<int>(i), &inputs_[i], &why));
        check(data != nullptr, why);
        if (inputs_[i].shape.rank == 4)
            *frame = preprocess(picture, model.preprocess, data);
        else
            sizes[std::string(inputs_[i].name) == SCALE] = data;
    }
    if (sizes[0] != nullptr) {
        sizes[0][0] = static_cast<float>(frame->shown_height);
        sizes[0][1] = static_cast<float>(frame->shown_width);
    }
    if (sizes[1] != nullptr) {
        sizes[1][0] = static_cast<float>(frame->scale_y);
        sizes[1][1] = static_cast<float>(frame->scale_x);
    }
    check(engine_run(&why), why);
    std::vector<Output> outputs;
    for (size_t i = 0; i < output_count_; i++) {
        tensor_info info = {};
        const void *data = engine_output(static_cast<int>(i), &info, &why);
        check(data != nullptr, why);
        outputs.push_back({info.dtype, {info.shape.dims, info.shape.dims + info.shape.rank}, data});
    }
    return outputs;
}

} // namespace edgekit
