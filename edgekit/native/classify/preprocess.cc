// PaddleClas's evaluation transform, equal to edgekit/vision/preprocess.py: resize, centre crop, normalise.
#include "model.h"

#include <algorithm>
#include <cmath>

namespace edgekit {
namespace {

constexpr double MAX_RESIZED_PIXELS = 1 << 26;

Picture resize(const Picture &picture, const Preprocess &parameters)
{
    if (parameters.resize_short == 0)
        return resize_linear(picture, parameters.crop_size, parameters.crop_size);
    double ratio = static_cast<double>(parameters.resize_short) / std::min(picture.width, picture.height);
    // nearbyint rounds halves to even, like Python's round.
    double width = std::nearbyint(picture.width * ratio), height = std::nearbyint(picture.height * ratio);
    if (width * height > MAX_RESIZED_PIXELS)
        throw Error("preprocessing: the picture's sides are too unequal");
    return resize_linear(picture, static_cast<int>(width), static_cast<int>(height));
}

} // namespace

void preprocess(const Picture &picture, const Preprocess &parameters, float *out)
{
    Picture resized = resize(picture, parameters);
    int side = parameters.crop_size;
    int left = (resized.width - side) / 2, top = (resized.height - side) / 2;
    for (int channel = 0; channel < 3; channel++) {
        float table[256];
        for (int level = 0; level < 256; level++) {
            float scaled = static_cast<float>(level) * parameters.scale;
            table[level] = (scaled - parameters.mean[channel]) / parameters.std[channel];
        }
        int plane = parameters.bgr ? 2 - channel : channel;
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++)
                *out++ = table[resized.pixel(left + x, top + y)[plane]];
    }
}

} // namespace edgekit
