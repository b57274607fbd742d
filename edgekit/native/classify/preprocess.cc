// Resizes, centre crops and normalisation, equal to edgekit/vision/preprocess.py.
#include "model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace edgekit {
namespace {

constexpr double MAX_RESIZED_PIXELS = 1 << 26;

// Resizes, and stores the factors of width and height.
Picture resize(const Picture &picture, const Step &step, double (&factors)[2])
{
    double width = step.width, height = step.height, ratio = 0;
    int least = std::min(picture.width, picture.height), most = std::max(picture.width, picture.height);
    if (step.short_side != 0)
        ratio = static_cast<double>(step.short_side) / least;
    if (step.within_short != 0) {
        ratio = static_cast<double>(step.within_short) / least;
        if (std::nearbyint(ratio * most) > step.within_long)
            ratio = static_cast<double>(step.within_long) / most;
    }
    if (ratio > 0) {
        // nearbyint rounds halves to even, like Python's round.
        width = std::nearbyint(picture.width * ratio);
        height = std::nearbyint(picture.height * ratio);
    }
    if (width * height > MAX_RESIZED_PIXELS || width < 1 || height < 1)
        throw Error("preprocessing: the picture's sides are too unequal");
    int columns = static_cast<int>(width), rows = static_cast<int>(height);
    bool by_ratio = step.within_short != 0; // else OpenCV is asked for the size
    factors[0] = by_ratio ? ratio : width / picture.width;
    factors[1] = by_ratio ? ratio : height / picture.height;
    return step.cubic ? resize_cubic(picture, columns, rows, by_ratio ? ratio : 0)
                      : resize_linear(picture, columns, rows, by_ratio ? ratio : 0);
}

Picture crop(const Picture &picture, const Step &step)
{
    if (picture.width < step.width || picture.height < step.height)
        throw Error("preprocessing: the picture is smaller than the crop");
    int left = (picture.width - step.width) / 2, top = (picture.height - step.height) / 2;
    Picture result(step.width, step.height, picture.channels);
    for (int y = 0; y < step.height; y++)
        std::memcpy(result.pixel(0, y), picture.pixel(left, top + y), static_cast<size_t>(step.width) * picture.channels);
    return result;
}

} // namespace

Frame preprocess(const Picture &picture, const Preprocess &parameters, float *out)
{
    Frame frame;
    Picture current = parameters.grey ? grey_of(picture) : picture;
    const Step *padding = nullptr; // the last step where there is one
    for (const Step &step : parameters.steps) {
        if (step.pad) {
            padding = &step;
            break;
        }
        double factors[2] = {1, 1};
        Picture next = step.crop ? crop(current, step) : resize(current, step, factors);
        if (step.crop) {
            frame.offset_x -= (current.width - step.width) / 2;
            frame.offset_y -= (current.height - step.height) / 2;
        }
        frame.scale_x *= factors[0];
        frame.scale_y *= factors[1];
        frame.offset_x *= factors[0];
        frame.offset_y *= factors[1];
        current = std::move(next);
    }
    frame.shown_width = current.width;
    frame.shown_height = current.height;
    const Step &input = parameters.steps.back();
    if (current.width > input.width || current.height > input.height)
        throw Error("preprocessing: it becomes " + std::to_string(current.width) + "x" +
                    std::to_string(current.height) + " pixels, the network takes " + std::to_string(input.width) +
                    "x" + std::to_string(input.height));
    for (int channel = 0; channel < current.channels; channel++) {
        auto normalised = [&](float level) {
            float scaled = level * parameters.scale;
            return (scaled - parameters.mean[channel]) / parameters.std[channel];
        };
        float table[256];
        for (int level = 0; level < 256; level++)
            table[level] = normalised(static_cast<float>(level));
        if (padding != nullptr)
            std::fill_n(out, static_cast<size_t>(input.width) * input.height,
                        padding->has_level ? normalised(padding->level[channel]) : 0.f);
        int plane = parameters.grey ? 0 : parameters.bgr ? 2 - channel : channel;
        for (int y = 0; y < current.height; y++)
            for (int x = 0; x < current.width; x++)
                out[static_cast<size_t>(y) * input.width + x] = table[current.pixel(x, y)[plane]];
        out += static_cast<size_t>(input.width) * input.height;
    }
    return frame;
}

} // namespace edgekit
