// cv::resize for 8-bit pixels and INTER_CUBIC (modules/imgproc/src/resize.cpp: interpolateCubic, 11-bit
// coefficients, VResizeCubic). OpenCV blends rows eight values at a time in float32, the rest of a row in integers.
#include "picture.h"

#include <algorithm>
#include <cmath>

namespace edgekit {
namespace {

constexpr int BITS = 11;
constexpr size_t LANES = 8;

// The source index of the second of four weighted neighbours.
struct Tap {
    int second;
    int weights[4];
};

std::vector<Tap> taps_of(int source, int target, double ratio)
{
    constexpr float A = -0.75f;
    double scale = 1.0 / (ratio > 0 ? ratio : static_cast<double>(target) / source);
    std::vector<Tap> taps;
    for (int i = 0; i < target; i++) {
        float exact = static_cast<float>((i + 0.5) * scale - 0.5);
        int second = static_cast<int>(std::floor(exact));
        float x = exact - static_cast<float>(second);
        float parts[4] = {((A * (x + 1) - 5 * A) * (x + 1) + 8 * A) * (x + 1) - 4 * A,
                          ((A + 2) * x - (A + 3)) * x * x + 1,
                          ((A + 2) * (1 - x) - (A + 3)) * (1 - x) * (1 - x) + 1, 0};
        parts[3] = 1.f - parts[0] - parts[1] - parts[2];
        Tap tap{second, {}};
        for (int k = 0; k < 4; k++)
            tap.weights[k] = static_cast<int>(std::lrint(parts[k] * (1 << BITS)));
        taps.push_back(tap);
    }
    return taps;
}

void blend_columns(const Picture &source, int y, const std::vector<Tap> &columns, std::vector<int> &row)
{
    size_t place = 0;
    for (const Tap &tap : columns) {
        const uint8_t *pixels[4];
        for (int k = 0; k < 4; k++)
            pixels[k] = source.pixel(std::clamp(tap.second - 1 + k, 0, source.width - 1), y);
        for (int c = 0; c < source.channels; c++)
            row[place++] = pixels[0][c] * tap.weights[0] + pixels[1][c] * tap.weights[1] +
                           pixels[2][c] * tap.weights[2] + pixels[3][c] * tap.weights[3];
    }
}

void blend_rows(const int *const rows[4], const int (&weights)[4], size_t length, uint8_t *target)
{
    constexpr float SCALE = 1.f / (1 << 2 * BITS);
    float shares[4];
    for (int k = 0; k < 4; k++)
        shares[k] = static_cast<float>(weights[k]) * SCALE;
    size_t i = 0;
    for (; i < length / LANES * LANES; i++) {
        float sum = static_cast<float>(rows[3][i]) * shares[3];
        for (int k = 2; k >= 0; k--)
            sum = static_cast<float>(rows[k][i]) * shares[k] + sum;
        target[i] = static_cast<uint8_t>(std::clamp(std::lrint(sum), 0L, 255L));
    }
    for (; i < length; i++) {
        int sum = 1 << (2 * BITS - 1);
        for (int k = 0; k < 4; k++)
            sum += rows[k][i] * weights[k];
        target[i] = static_cast<uint8_t>(std::clamp(sum >> 2 * BITS, 0, 255));
    }
}

} // namespace

Picture resize_cubic(const Picture &source, int width, int height, double ratio)
{
    if (width == source.width && height == source.height)
        return source;
    std::vector<Tap> columns = taps_of(source.width, width, ratio);
    std::vector<Tap> rows = taps_of(source.height, height, ratio);
    Picture result(width, height, source.channels);
    size_t stride = static_cast<size_t>(width) * source.channels;
    // Four neighbouring source rows, each blended horizontally once while the result is computed downwards.
    std::vector<int> blended[4];
    int held[4] = {-1, -1, -1, -1};
    for (std::vector<int> &row : blended)
        row.resize(stride);
    for (int y = 0; y < height; y++) {
        const int *near[4];
        for (int k = 0; k < 4; k++) {
            int wanted = std::clamp(rows[y].second - 1 + k, 0, source.height - 1);
            if (held[wanted % 4] != wanted)
                blend_columns(source, wanted, columns, blended[wanted % 4]);
            held[wanted % 4] = wanted;
            near[k] = blended[wanted % 4].data();
        }
        blend_rows(near, rows[y].weights, stride, result.pixel(0, y));
    }
    return result;
}

} // namespace edgekit
