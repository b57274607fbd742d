// Decoding by stb_image. PNG and BMP give the same bytes everywhere; JPEG differs by a level or two from the
// libjpeg-turbo in OpenCV, in the inverse cosine transform and in how chroma is scaled up.
#include "picture.h"

#include <climits>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#include "stb_image.h"

namespace edgekit {
namespace {

constexpr int64_t MAX_PIXELS = int64_t{1} << 28; // equal to edgekit/vision/decode.py

// A TIFF header's two byte orders.
struct Tiff {
    const uint8_t *data;
    size_t size;
    bool little;

    uint32_t number(size_t at, int count) const
    {
        uint32_t value = 0;
        for (int i = 0; i < count; i++)
            value |= static_cast<uint32_t>(data[at + i]) << 8 * (little ? i : count - 1 - i);
        return value;
    }
};

// EXIF's tag 0x0112 in the first directory; 1 (upright) where there is none.
int tiff_orientation(const uint8_t *data, size_t size)
{
    if (size < 8 || (std::memcmp(data, "II", 2) != 0 && std::memcmp(data, "MM", 2) != 0))
        return 1;
    Tiff tiff{data, size, data[0] == 'I'};
    size_t directory = tiff.number(4, 4);
    if (directory + 2 > size)
        return 1;
    size_t entries = tiff.number(directory, 2);
    for (size_t i = 0; i < entries; i++) {
        size_t entry = directory + 2 + 12 * i;
        if (entry + 12 > size)
            break;
        if (tiff.number(entry, 2) == 0x0112) {
            uint32_t value = tiff.number(entry + 8, 2);
            return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
        }
    }
    return 1;
}

int jpeg_orientation(const std::vector<uint8_t> &file)
{
    size_t at = 2;
    while (at + 4 <= file.size() && file[at] == 0xFF && file[at + 1] != 0xDA) {
        size_t length = static_cast<size_t>(file[at + 2]) << 8 | file[at + 3];
        if (length < 2 || at + 2 + length > file.size())
            break;
        if (file[at + 1] == 0xE1 && length >= 8 && std::memcmp(&file[at + 4], "Exif\0\0", 6) == 0)
            return tiff_orientation(&file[at + 10], length - 8);
        at += 2 + length;
    }
    return 1;
}

int png_orientation(const std::vector<uint8_t> &file)
{
    size_t at = 8;
    while (at + 12 <= file.size()) {
        size_t length = static_cast<size_t>(file[at]) << 24 | file[at + 1] << 16 | file[at + 2] << 8 | file[at + 3];
        if (length > file.size() - at - 12)
            break;
        if (std::memcmp(&file[at + 4], "eXIf", 4) == 0)
            return tiff_orientation(&file[at + 8], length);
        at += 12 + length;
    }
    return 1;
}

int orientation_of(const std::vector<uint8_t> &file)
{
    if (file.size() > 4 && file[0] == 0xFF && file[1] == 0xD8)
        return jpeg_orientation(file);
    if (file.size() > 8 && std::memcmp(file.data(), "\x89PNG", 4) == 0)
        return png_orientation(file);
    return 1;
}

// Orientations 5 to 8 swap the axes; the others mirror one or both.
Picture upright(const Picture &source, int orientation)
{
    bool swapped = orientation >= 5;
    Picture result(swapped ? source.height : source.width, swapped ? source.width : source.height);
    bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    for (int y = 0; y < result.height; y++)
        for (int x = 0; x < result.width; x++) {
            int column = swapped ? y : x, row = swapped ? x : y;
            column = from_right ? source.width - 1 - column : column;
            row = from_below ? source.height - 1 - row : row;
            std::memcpy(result.pixel(x, y), source.pixel(column, row), 3);
        }
    return result;
}

} // namespace

std::vector<uint8_t> read_file(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw Error("reading " + path + ": " + std::strerror(errno));
    std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (file.bad())
        throw Error("reading " + path + ": " + std::strerror(errno));
    return bytes;
}

Picture decode(const std::string &path)
{
    std::vector<uint8_t> file = read_file(path);
    int width = 0, height = 0, channels = 0, size = static_cast<int>(file.size());
    if (file.empty() || file.size() > INT_MAX)
        throw Error("decoding " + path + ": the file is empty or has more than 2 GB");
    if (!stbi_info_from_memory(file.data(), size, &width, &height, &channels))
        throw Error("decoding " + path + ": " + stbi_failure_reason());
    if (int64_t{width} * height > MAX_PIXELS)
        throw Error("decoding " + path + ": more than 268 million pixels");
    std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
        stbi_load_from_memory(file.data(), size, &width, &height, &channels, 3), stbi_image_free);
    if (!pixels)
        throw Error("decoding " + path + ": " + stbi_failure_reason());
    Picture picture(width, height);
    std::memcpy(picture.bytes.data(), pixels.get(), picture.bytes.size());
    int orientation = orientation_of(file);
    return orientation == 1 ? picture : upright(picture, orientation);
}

} // namespace edgekit
