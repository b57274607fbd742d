// Resizes, centre crops and normalisation, equal to edgekit/vision/preprocess.py.
#include "model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace edgekit {
namespace {

constexpr double MAX_RESIZED_PIXELS = 1 << 26;

Picture resize(const Picture &picture, const Step &step)
{
    double width = step.width, height = step.height;
    if (step.short_side != 0) {
        double ratio = static_cast<double>(step.short_side) / std::min(picture.width, picture.height);
        // nearbyint rounds halves to even, like Python's round.
        width = std::nearbyint(picture.width * ratio);
        height = std::nearbyint(picture.height * ratio);
    }
    if (width * height > MAX_RESIZED_PIXELS)
        throw Error("preprocessing: the picture's sides are too unequal");
    int columns = static_cast<int>(width), rows = static_cast<int>(height);
    return step.cubic ? resize_cubic(picture, columns, rows) : resize_linear(picture, columns, rows);
}

Picture crop(const Picture &picture, const Step &step)
{
    if (picture.width < step.width || picture.height < step.height)
        throw Error("preprocessing: the picture is smaller than the crop");
    int left = (picture.width - step.width) / 2, top = (picture.height - step.height) / 2;
    Picture result(step.width, step.height);
    for (int y = 0; y < step.height; y++)
        std::memcpy(result.pixel(0, y), picture.pixel(left, top + y), static_cast<size_t>(step.width) * 3);
    return result;
}

} // namespace

Frame preprocess(const Picture &picture, const Preprocess &parameters, float *out)
{
    Frame frame;
    Picture current = picture;
    for (const Step &step : parameters.steps) {
        Picture next = step.crop ? crop(current, step) : resize(current, step);
        if (step.crop) {
            frame.offset_x -= (current.width - step.width) / 2;
            frame.offset_y -= (current.height - step.height) / 2;
        } else {
            double wider = static_cast<double>(next.width) / current.width;
            double higher = static_cast<double>(next.height) / current.height;
            frame = {frame.scale_x * wider, frame.scale_y * higher, frame.offset_x * wider, frame.offset_y * higher};
        }
        current = std::move(next);
    }
    for (int channel = 0; channel < 3; channel++) {
        float table[256];
        for (int level = 0; level < 256; level++) {
            float scaled = static_cast<float>(level) * parameters.scale;
            table[level] = (scaled - parameters.mean[channel]) / parameters.std[channel];
        }
        int plane = parameters.bgr ? 2 - channel : channel;
        for (size_t i = plane; i < current.bytes.size(); i += 3)
            *out++ = table[current.bytes[i]];
    }
    return frame;
}

} // namespace edgekit
