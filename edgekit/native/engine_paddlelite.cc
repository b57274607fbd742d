// Paddle Lite through its C++ API for deployment (lite/api/paddle_api.h, MobileConfig).
//
// The API passes std::string and std::vector, so this file must be compiled against the C++ library that
// the runtime was built with: GNU's for the armlinux archives, the NDK's for the Android ones.
#include <paddle_api.h>

#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "engine.h"

#ifndef EDGEKIT_ENGINE_VERSION
#define EDGEKIT_ENGINE_VERSION nullptr
#endif

using paddle::lite_api::MobileConfig;
using paddle::lite_api::PaddlePredictor;
using paddle::lite_api::PrecisionType;
using paddle::lite_api::Tensor;

extern "C" const char *const engine_name = "paddlelite";

namespace {

std::shared_ptr<PaddlePredictor> predictor;
std::unique_ptr<Tensor> input;
std::string version;

bool engine_failed(failure *why, failure_code code, const std::exception &error)
{
    if (dynamic_cast<const std::bad_alloc *>(&error) != nullptr)
        code = FAILED_MEMORY;
    return fail(why, code, "Paddle Lite: %s", error.what());
}

const char *type_name(PrecisionType type)
{
    switch (type) {
    case PRECISION(kUnk): // before the first run
    case PRECISION(kFloat):
        return "float32";
    case PRECISION(kFP16):
        return "float16";
    case PRECISION(kInt8):
        return "int8";
    case PRECISION(kInt32):
        return "int32";
    case PRECISION(kInt64):
        return "int64";
    default:
        return "other";
    }
}

bool copy_shape(const std::vector<int64_t> &dims, tensor_shape *shape)
{
    shape->rank = 0;
    if (dims.size() > MAX_RANK)
        return false;
    for (int64_t size : dims)
        shape->dims[shape->rank++] = size;
    return true;
}

void set_name(tensor_info *info, const std::string &name)
{
    std::strncpy(info->name, name.c_str(), sizeof info->name - 1);
    info->name[sizeof info->name - 1] = '\0';
}

// The library chooses kernels by the mode's fastest core and then binds by itself, before each run. FULL
// stays with the runner's binding, as the library takes its cores in another order there.
void set_mode(MobileConfig *config, power_mode mode)
{
    if (mode == POWER_HIGH)
        config->set_power_mode(paddle::lite_api::LITE_POWER_HIGH);
    else if (mode == POWER_LOW)
        config->set_power_mode(paddle::lite_api::LITE_POWER_LOW);
    else
        config->set_power_mode(paddle::lite_api::LITE_POWER_NO_BIND);
}

} // namespace

// The library reports its version only after a model is loaded; before, the installed version is returned.
const char *engine_version(failure *)
{
    return predictor ? version.c_str() : EDGEKIT_ENGINE_VERSION;
}

bool engine_open(failure *)
{
    return true;
}

bool engine_load(engine_config *config, failure *why)
{
    if (config->option_count > 0)
        return fail(why, FAILED_REQUEST, "the paddlelite runner has no option %s=%s", config->options[0].name,
                    config->options[0].value);
#ifdef __x86_64__
    // lite/core/device_info.cc counts and binds threads on ARM only.
    if (config->threads > 1)
        return fail(why, FAILED_UNSUPPORTED, "%d threads: Paddle Lite runs 1 on x86", config->threads);
#endif
    try {
        MobileConfig mobile;
        mobile.set_model_from_file(config->model);
        mobile.set_threads(config->threads);
        set_mode(&mobile, config->mode);
        input.reset();
        predictor = paddle::lite_api::CreatePaddlePredictor<MobileConfig>(mobile);
        if (!predictor)
            return fail(why, FAILED_MODEL_INVALID, "Paddle Lite does not load model %s", config->model);
        version = predictor->GetVersion();
        if (version[0] == 'v') // a release's tag; otherwise the version is a commit
            version.erase(0, 1);
    } catch (const std::exception &error) {
        return engine_failed(why, FAILED_MODEL_INVALID, error);
    }
    return true;
}

int engine_inputs(tensor_info infos[MAX_TENSORS])
{
    const std::vector<std::string> names = predictor->GetInputNames();
    for (size_t i = 0; i < names.size() && i < MAX_TENSORS; i++) {
        set_name(&infos[i], names[i]);
        infos[i].dtype = "float32"; // unknown from a .nb; exported models take float32
        infos[i].shape.rank = 0;    // unknown from a .nb
    }
    return static_cast<int>(names.size());
}

int engine_outputs(tensor_info infos[MAX_TENSORS])
{
    const std::vector<std::string> names = predictor->GetOutputNames();
    int count = 0;
    for (; count < static_cast<int>(names.size()) && count < MAX_TENSORS; count++) {
        std::unique_ptr<const Tensor> output = predictor->GetOutput(count);
        set_name(&infos[count], names[static_cast<size_t>(count)]);
        infos[count].dtype = type_name(output->precision());
        copy_shape(output->shape(), &infos[count].shape);
        if (infos[count].shape.rank > 0)
            infos[count].shape.dims[0] = -1;
    }
    return count;
}

float *engine_input(const tensor_shape *shape, failure *why)
{
    try {
        input = predictor->GetInput(0);
        input->Resize(std::vector<int64_t>(shape->dims, shape->dims + shape->rank));
        float *data = input->mutable_data<float>();
        if (data == nullptr)
            fail(why, FAILED_MEMORY, "Paddle Lite: no memory for the input");
        return data;
    } catch (const std::exception &error) {
        engine_failed(why, FAILED_RUNTIME, error);
        return nullptr;
    }
}

bool engine_run(failure *why)
{
    try {
        predictor->Run();
    } catch (const std::exception &error) {
        return engine_failed(why, FAILED_RUNTIME, error);
    }
    return true;
}

const float *engine_output(tensor_shape *shape, failure *why)
{
    // The predictor owns the tensor, so its handle may be released.
    std::unique_ptr<const Tensor> output = predictor->GetOutput(0);
    if (std::strcmp(type_name(output->precision()), "float32") != 0) {
        fail(why, FAILED_UNSUPPORTED, "an output of %s", type_name(output->precision()));
        return nullptr;
    }
    if (!copy_shape(output->shape(), shape)) {
        fail(why, FAILED_UNSUPPORTED, "an output of %zu dimensions", output->shape().size());
        return nullptr;
    }
    return output->data<float>();
}
