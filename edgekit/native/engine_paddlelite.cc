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
    case PRECISION(kUInt8):
        return "uint8";
    case PRECISION(kBool):
        return "bool";
    case PRECISION(kFP64):
        return "float64";
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

// Returns memory for an input; null for types that its tensors do not have.
void *allocate(Tensor *input, const std::string &dtype)
{
    if (dtype == "float32")
        return input->mutable_data<float>();
    if (dtype == "float64")
        return input->mutable_data<double>();
    if (dtype == "int64")
        return input->mutable_data<int64_t>();
    if (dtype == "int32")
        return input->mutable_data<int32_t>();
    if (dtype == "int8")
        return input->mutable_data<int8_t>();
    if (dtype == "uint8")
        return input->mutable_data<uint8_t>();
    return dtype == "bool" ? input->mutable_data<bool>() : nullptr;
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

// Takes the option `backend`. OpenCL computes in float32, which float16 would replace where the GPU has it.
bool set_backend(MobileConfig *mobile, const engine_config *config, failure *why)
{
    for (int i = 0; i < config->option_count; i++) {
        const engine_option *option = &config->options[i];
        const bool opencl = std::strcmp(option->value, "opencl") == 0;
        if (std::strcmp(option->name, "backend") != 0 || (!opencl && std::strcmp(option->value, "cpu") != 0))
            return fail(why, FAILED_REQUEST, "the paddlelite runner has no option %s=%s", option->name,
                        option->value);
        if (!opencl)
            continue;
        if (!paddle::lite_api::IsOpenCLBackendValid())
            return fail(why, FAILED_UNSUPPORTED, "backend=opencl: Paddle Lite finds no OpenCL that works here");
        mobile->set_opencl_precision(paddle::lite_api::CL_PRECISION_FP32);
    }
    return true;
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
#ifdef __x86_64__
    // lite/core/device_info.cc counts and binds threads on ARM only.
    if (config->threads > 1)
        return fail(why, FAILED_UNSUPPORTED, "%d threads: Paddle Lite runs 1 on x86", config->threads);
#endif
    try {
        MobileConfig mobile;
        mobile.set_model_from_file(config->model);
        if (!set_backend(&mobile, config, why))
            return false;
        mobile.set_threads(config->threads);
        set_mode(&mobile, config->mode);
        predictor = paddle::lite_api::CreatePaddlePredictor<MobileConfig>(mobile);
        if (!predictor)
            return fail(why, FAILED_MODEL_INVALID, "Paddle Lite does not load model %s", config->model);
        if (predictor->GetInputNames().size() > MAX_TENSORS || predictor->GetOutputNames().size() > MAX_TENSORS)
            return fail(why, FAILED_UNSUPPORTED, "a model with more than %d inputs or outputs", MAX_TENSORS);
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
    for (size_t i = 0; i < names.size(); i++) {
        set_name(&infos[i], names[i]);
        infos[i].dtype = nullptr; // a .nb has names alone
        infos[i].shape.rank = -1;
    }
    return static_cast<int>(names.size());
}

int engine_outputs(tensor_info infos[MAX_TENSORS])
{
    const std::vector<std::string> names = predictor->GetOutputNames();
    int count = 0;
    for (; count < static_cast<int>(names.size()); count++) {
        std::unique_ptr<const Tensor> output = predictor->GetOutput(count);
        set_name(&infos[count], names[static_cast<size_t>(count)]);
        infos[count].dtype = type_name(output->precision());
        copy_shape(output->shape(), &infos[count].shape);
        if (infos[count].shape.rank > 0)
            infos[count].shape.dims[0] = -1;
    }
    return count;
}

void *engine_input(int index, const tensor_info *given, failure *why)
{
    try {
        // The predictor owns the tensor, so its handle may be released.
        std::unique_ptr<Tensor> input = predictor->GetInput(index);
        input->Resize(std::vector<int64_t>(given->shape.dims, given->shape.dims + given->shape.rank));
        void *data = allocate(input.get(), given->dtype);
        if (data == nullptr)
            fail(why, FAILED_UNSUPPORTED, "Paddle Lite: input %s as %s", given->name, given->dtype);
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

const void *engine_output(int index, tensor_info *result, failure *why)
{
    std::unique_ptr<const Tensor> output = predictor->GetOutput(index);
    result->dtype = type_name(output->precision());
    if (dtype_bytes(result->dtype) == 0) {
        fail(why, FAILED_UNSUPPORTED, "output %s is %s, which no runner knows", result->name, result->dtype);
        return nullptr;
    }
    if (!copy_shape(output->shape(), &result->shape)) {
        fail(why, FAILED_UNSUPPORTED, "output %s of %zu dimensions", result->name, output->shape().size());
        return nullptr;
    }
    const void *data = output->data<int8_t>(); // the memory's address whatever its type
    return data != nullptr ? data : "";        // an output of no elements may have no memory
}
