// The class of each pixel of a picture, like edgekit/tasks/segmentation.py.
#include "answer.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <numeric>
#include <set>

namespace edgekit {
namespace {

constexpr int64_t MOST_CLASSES = 255;

// Scores are enlarged bilinearly to the picture before the best class is taken, as PaddleSeg does it.
std::vector<uint8_t> best_classes(const Output &output, const Seen &seen)
{
    int height = static_cast<int>(output.shape[2]), width = static_cast<int>(output.shape[3]);
    size_t pixels = static_cast<size_t>(seen.width) * seen.height, plane = static_cast<size_t>(height) * width;
    std::vector<float> best(pixels, -std::numeric_limits<float>::infinity());
    std::vector<uint8_t> classes(pixels);
    for (int64_t number = 0; number < std::min(output.shape[1], MOST_CLASSES); number++) {
        std::vector<float> scores =
            resize_linear(output.floats() + number * plane, width, height, seen.width, seen.height);
        for (size_t i = 0; i < pixels; i++)
            if (scores[i] > best[i]) {
                best[i] = scores[i];
                classes[i] = static_cast<uint8_t>(number);
            }
    }
    return classes;
}

int64_t label_at(const Output &output, size_t index)
{
    if (output.dtype == "int64")
        return static_cast<const int64_t *>(output.data)[index];
    if (output.dtype == "int32")
        return static_cast<const int32_t *>(output.data)[index];
    return static_cast<const uint8_t *>(output.data)[index];
}

// A label map is enlarged to the nearest pixel, by OpenCV's INTER_NEAREST.
std::vector<uint8_t> enlarged(const Output &output, const Seen &seen)
{
    size_t rank = output.shape.size();
    int height = static_cast<int>(output.shape[rank - 2]), width = static_cast<int>(output.shape[rank - 1]);
    double step_x = 1 / (static_cast<double>(seen.width) / width);
    double step_y = 1 / (static_cast<double>(seen.height) / height);
    std::vector<uint8_t> classes;
    classes.reserve(static_cast<size_t>(seen.width) * seen.height);
    for (int y = 0; y < seen.height; y++) {
        size_t row = std::min(static_cast<int>(std::floor(y * step_y)), height - 1);
        for (int x = 0; x < seen.width; x++) {
            int column = std::min(static_cast<int>(std::floor(x * step_x)), width - 1);
            int64_t label = label_at(output, row * width + column);
            if (label < 0 || label >= MOST_CLASSES)
                throw Error("segmenting: the class " + std::to_string(label) + "; a label map has 0 to 254");
            classes.push_back(static_cast<uint8_t>(label));
        }
    }
    return classes;
}

std::vector<uint8_t> label_map(const std::vector<Output> &outputs, const Seen &seen)
{
    const Output &output = outputs.front();
    size_t rank = output.shape.size();
    bool whole = output.dtype == "int64" || output.dtype == "int32" || output.dtype == "uint8";
    bool one = outputs.size() == 1 && rank >= 3 && output.shape[0] == 1 &&
               std::all_of(output.shape.begin(), output.shape.end(), [](int64_t side) { return side > 0; });
    if (one && output.dtype == "float32" && rank == 4)
        return best_classes(output, seen);
    if (one && whole && (rank == 3 || (rank == 4 && output.shape[1] == 1)))
        return enlarged(output, seen);
    throw Error("segmenting: the first of " + std::to_string(outputs.size()) + " outputs is " + output.describe() +
                ", neither scores [1,C,H,W] nor a label map [1,H,W] of integers");
}

// A grey picture whose levels are the classes, in the form PGM.
void write_map(const std::string &directory, const std::vector<uint8_t> &classes, const Seen &seen)
{
    std::string name = seen.path.substr(seen.path.rfind('/') + 1);
    std::string path = directory + "/" + name.substr(0, name.rfind('.')) + "-labels.pgm";
    static std::set<std::string> written;
    if (!written.insert(path).second)
        throw Error("writing " + path + " for " + seen.path + ": an earlier picture has it");
    std::ofstream file(path, std::ios::binary);
    file << "P5\n" << seen.width << " " << seen.height << "\n255\n";
    file.write(reinterpret_cast<const char *>(classes.data()), static_cast<std::streamsize>(classes.size()));
    file.close();
    if (!file)
        throw Error("writing " + path + " failed");
}

} // namespace

void segment(const Model &model, const std::vector<Output> &outputs, const Seen &seen, const Asked &asked, Line &line)
{
    std::vector<uint8_t> map = label_map(outputs, seen);
    std::vector<int64_t> counts(MOST_CLASSES);
    for (uint8_t each : map)
        counts[each]++;
    std::vector<int> classes(counts.size());
    std::iota(classes.begin(), classes.end(), 0);
    std::stable_sort(classes.begin(), classes.end(), [&](int a, int b) { return counts[a] > counts[b]; });
    while (counts[classes.back()] == 0)
        classes.pop_back();
    int highest = *std::max_element(classes.begin(), classes.end());
    if (highest >= model.num_classes)
        throw Error("segmenting: class " + std::to_string(highest) + " in the answer, but the model has " +
                    std::to_string(model.num_classes));
    if (asked.top_k != 0)
        classes.resize(std::min(classes.size(), static_cast<size_t>(asked.top_k)));
    std::vector<double> areas;
    for (int each : classes)
        areas.push_back(static_cast<double>(counts[each]) / static_cast<double>(map.size()));
    if (!asked.maps.empty())
        write_map(asked.maps, map, seen);
    line.integers("class_ids", classes);
    line.numbers("areas", areas, "%.5f");
    line.names("label_names", classes, model);
    line.integer("height", seen.height);
    line.integer("width", seen.width);
    line.text("filename", seen.path);
}

} // namespace edgekit
