// Pictures: decoding as edgekit decodes (8-bit RGB, EXIF orientation applied, alpha dropped), and resizing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace edgekit {

// What went wrong, in words for people: action, object, what was seen.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// 8-bit RGB or grey, rows from the top, no padding.
struct Picture {
    int width = 0;
    int height = 0;
    int channels = 3;
    std::vector<uint8_t> bytes;

    Picture(int width_, int height_, int channels_ = 3)
        : width(width_), height(height_), channels(channels_),
          bytes(static_cast<size_t>(width_) * height_ * channels_)
    {
    }
    uint8_t *pixel(int x, int y) { return &bytes[(static_cast<size_t>(y) * width + x) * channels]; }
    const uint8_t *pixel(int x, int y) const { return &bytes[(static_cast<size_t>(y) * width + x) * channels]; }
};

// Throws Error where the file cannot be read or is no picture that stb_image knows (JPEG, PNG, BMP, ...).
std::vector<uint8_t> read_file(const std::string &path);
Picture decode(const std::string &path);

// OpenCV's grey of an RGB picture, equal to the byte.
Picture grey_of(const Picture &source);

// OpenCV's own INTER_LINEAR and INTER_CUBIC on 8-bit pixels, equal to the byte; the bicubic of Intel's IPP, which
// OpenCV may use instead, differs by a level. `ratio` is the factor by which OpenCV was asked to resize, from which it
// computes where it samples; 0 where it was asked for a size.
Picture resize_linear(const Picture &source, int width, int height, double ratio = 0);
Picture resize_cubic(const Picture &source, int width, int height, double ratio = 0);

// OpenCV's INTER_LINEAR on one plane of float32, rows from the top.
std::vector<float> resize_linear(const float *source, int source_width, int source_height, int width, int height);

} // namespace edgekit
