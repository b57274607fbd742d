// cv::resize for 8-bit pixels and INTER_LINEAR in OpenCV's own fixed-point arithmetic (modules/imgproc/src/
// resize.cpp: 11-bit coefficients, VResizeLinear). For exactly half the size both use INTER_AREA.
#include "picture.h"

#include <algorithm>
#include <cmath>

namespace edgekit {
namespace {

constexpr int SCALE = 1 << 11;

// For each index of one axis of the result: the first source index, and the weights of this and the next one.
struct Axis {
    struct Tap {
        int first;
        float fraction;
        int weights[2];
    };
    std::vector<Tap> taps;

    // Beyond the border OpenCV drops a column's fraction, but blends the border row with itself.
    Axis(int source, int target, bool drop_fraction, double ratio = 0)
    {
        double scale = 1.0 / (ratio > 0 ? ratio : static_cast<double>(target) / source);
        for (int i = 0; i < target; i++) {
            float exact = static_cast<float>((i + 0.5) * scale - 0.5);
            int first = static_cast<int>(std::floor(exact));
            float fraction = exact - static_cast<float>(first);
            if (drop_fraction && (first < 0 || first >= source - 1)) {
                first = std::clamp(first, 0, source - 1);
                fraction = 0;
            }
            taps.push_back({first, fraction,
                            {static_cast<int>(std::lrint((1.f - fraction) * SCALE)),
                             static_cast<int>(std::lrint(fraction * SCALE))}});
        }
    }
};

// Where a side is odd, the last pixels are means of those that there are, halves rounded to even.
Picture halve(const Picture &source, int width, int height)
{
    Picture result(width, height, source.channels);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < source.channels; c++) {
                int sum = 0, count = 0;
                for (int row = 2 * y; row < std::min(2 * y + 2, source.height); row++)
                    for (int column = 2 * x; column < std::min(2 * x + 2, source.width); column++, count++)
                        sum += source.pixel(column, row)[c];
                bool whole = 2 * y + 2 <= source.height && x < source.width / 2;
                result.pixel(x, y)[c] = static_cast<uint8_t>(
                    whole ? (sum + 2) >> 2 : count != 0 ? std::lrint(static_cast<float>(sum) / count) : 0);
            }
    return result;
}

void blend_columns(const Picture &source, int y, const Axis &columns, std::vector<int> &row)
{
    size_t place = 0;
    for (const Axis::Tap &tap : columns.taps) {
        const uint8_t *here = source.pixel(tap.first, y);
        const uint8_t *next = source.pixel(std::min(tap.first + 1, source.width - 1), y);
        for (int c = 0; c < source.channels; c++)
            row[place++] = here[c] * tap.weights[0] + next[c] * tap.weights[1];
    }
}

} // namespace

Picture grey_of(const Picture &source)
{
    constexpr int RED = 9798, GREEN = 19235, BLUE = 3735, BITS = 15;
    Picture result(source.width, source.height, 1);
    for (size_t i = 0; i < result.bytes.size(); i++) {
        const uint8_t *pixel = &source.bytes[3 * i];
        int sum = RED * pixel[0] + GREEN * pixel[1] + BLUE * pixel[2];
        result.bytes[i] = static_cast<uint8_t>((sum + (1 << (BITS - 1))) >> BITS);
    }
    return result;
}

Picture resize_linear(const Picture &source, int width, int height, double ratio)
{
    if (width == source.width && height == source.height)
        return source;
    if (ratio > 0 ? ratio == 0.5 : source.width == 2 * width && source.height == 2 * height)
        return halve(source, width, height);
    Axis columns(source.width, width, true, ratio), rows(source.height, height, false, ratio);
    Picture result(width, height, source.channels);
    size_t stride = static_cast<size_t>(width) * source.channels;
    // Two neighbouring source rows, each blended horizontally once while the result is computed downwards.
    std::vector<int> blended[2] = {std::vector<int>(stride), std::vector<int>(stride)};
    int held[2] = {-1, -1};
    auto row_at = [&](int y) -> const std::vector<int> & {
        y = std::clamp(y, 0, source.height - 1);
        if (held[y % 2] != y) {
            blend_columns(source, y, columns, blended[y % 2]);
            held[y % 2] = y;
        }
        return blended[y % 2];
    };
    for (int y = 0; y < height; y++) {
        const Axis::Tap &tap = rows.taps[y];
        const std::vector<int> &upper = row_at(tap.first), &lower = row_at(tap.first + 1);
        uint8_t *target = result.pixel(0, y);
        for (size_t i = 0; i < stride; i++) {
            int value = ((tap.weights[0] * (upper[i] >> 4)) >> 16) + ((tap.weights[1] * (lower[i] >> 4)) >> 16);
            target[i] = static_cast<uint8_t>((value + 2) >> 2);
        }
    }
    return result;
}

std::vector<float> resize_linear(const float *source, int source_width, int source_height, int width, int height)
{
    Axis columns(source_width, width, true), rows(source_height, height, false);
    std::vector<float> result;
    result.reserve(static_cast<size_t>(width) * height);
    auto row_at = [&](int y) {
        return source + static_cast<size_t>(std::clamp(y, 0, source_height - 1)) * source_width;
    };
    for (const Axis::Tap &row : rows.taps) {
        const float *upper = row_at(row.first), *lower = row_at(row.first + 1);
        for (const Axis::Tap &column : columns.taps) {
            int here = column.first, next = std::min(here + 1, source_width - 1);
            float left = 1.f - column.fraction, above = 1.f - row.fraction;
            float over = upper[here] * left + upper[next] * column.fraction;
            float under = lower[here] * left + lower[next] * column.fraction;
            result.push_back(over * above + under * row.fraction);
        }
    }
    return result;
}

} // namespace edgekit
