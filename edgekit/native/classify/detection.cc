// Boxes from PicoDet's raw outputs, or the rows of a model that carries NMS, like edgekit/vision/boxes.py.
#include "answer.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace edgekit {
namespace {

struct Box {
    int class_id;
    float score;
    std::array<float, 4> corners; // x0, y0, x1, y1
};

bool better(const Box &a, const Box &b)
{
    return a.score > b.score;
}

float area(const Box &box)
{
    return std::max(box.corners[2] - box.corners[0], 0.f) * std::max(box.corners[3] - box.corners[1], 0.f);
}

// Intersection over union; 0 of no area.
float overlap(const Box &a, const Box &b)
{
    float width = std::min(a.corners[2], b.corners[2]) - std::max(a.corners[0], b.corners[0]);
    float height = std::min(a.corners[3], b.corners[3]) - std::max(a.corners[1], b.corners[1]);
    float shared = std::max(width, 0.f) * std::max(height, 0.f);
    return shared > 0 ? shared / (area(a) + area(b) - shared) : 0;
}

// Non-maximum suppression within each class, over boxes with the best score first.
std::vector<Box> suppress(const std::vector<Box> &boxes, const BoxesRule &rule)
{
    std::map<int, int> seen;
    std::vector<Box> kept;
    for (const Box &box : boxes) {
        if (seen[box.class_id]++ >= rule.nms_top_k)
            continue;
        bool hidden = std::any_of(kept.begin(), kept.end(), [&](const Box &other) {
            return other.class_id == box.class_id && overlap(other, box) > static_cast<float>(rule.nms_threshold);
        });
        if (!hidden)
            kept.push_back(box);
        if (kept.size() == static_cast<size_t>(rule.keep_top_k))
            break;
    }
    return kept;
}

void check_level(const Output &output, int64_t anchors, int64_t numbers)
{
    if (output.dtype != "float32" || output.shape != std::vector<int64_t>{1, anchors, numbers})
        throw Error("reading boxes: an output is " + output.describe() + " instead of float32[1," +
                    std::to_string(anchors) + "," + std::to_string(numbers) + "]: correct postprocess in the manifest");
}

// The corners in input pixels of one anchor, from the logits of the distances of its four sides in strides.
std::array<float, 4> corners_of(const float *logits, int bins, int x, int y, int stride)
{
    float sides[4];
    for (float &side : sides) {
        float most = *std::max_element(logits, logits + bins), sum = 0, weighted = 0;
        for (int i = 0; i < bins; i++) {
            float weight = std::exp(logits[i] - most);
            sum += weight;
            weighted += weight * static_cast<float>(i);
        }
        side = weighted * (static_cast<float>(stride) / sum);
        if (!std::isfinite(side))
            throw Error("reading boxes: distances are not finite (NaN or infinity)");
        logits += bins;
    }
    float centre_x = (static_cast<float>(x) + 0.5f) * stride, centre_y = (static_cast<float>(y) + 0.5f) * stride;
    return {centre_x - sides[0], centre_y - sides[1], centre_x + sides[2], centre_y + sides[3]};
}

// Appends the boxes of one stride: those of its `nms_top_k` best anchors whose scores pass.
void read_level(const Model &model, const Output &scores, const Output &sides, int stride, std::vector<Box> &boxes)
{
    const Step &input = model.preprocess.steps.back();
    int rows = (input.height + stride - 1) / stride, columns = (input.width + stride - 1) / stride;
    int bins = model.boxes.bins, classes = model.num_classes;
    check_level(scores, int64_t{rows} * columns, classes);
    check_level(sides, int64_t{rows} * columns, int64_t{4} * bins);
    float threshold = static_cast<float>(model.boxes.answer_threshold);
    std::vector<std::pair<float, int>> passing; // an anchor's best score, and its number
    for (int anchor = 0; anchor < rows * columns; anchor++) {
        const float *of = scores.floats() + static_cast<size_t>(anchor) * classes;
        if (!std::all_of(of, of + classes, [](float score) { return std::isfinite(score); }))
            throw Error("reading boxes: scores are not finite (NaN or infinity)");
        float best = *std::max_element(of, of + classes);
        if (best > threshold)
            passing.emplace_back(best, anchor);
    }
    std::stable_sort(passing.begin(), passing.end(), [](const auto &a, const auto &b) { return a.first > b.first; });
    passing.resize(std::min(passing.size(), static_cast<size_t>(model.boxes.nms_top_k)));
    std::sort(passing.begin(), passing.end(), [](const auto &a, const auto &b) { return a.second < b.second; });
    for (const auto &each : passing) {
        int anchor = each.second;
        const float *logits = sides.floats() + static_cast<size_t>(anchor) * 4 * bins;
        std::array<float, 4> corners = corners_of(logits, bins, anchor % columns, anchor / columns, stride);
        const float *of = scores.floats() + static_cast<size_t>(anchor) * classes;
        for (int class_id = 0; class_id < classes; class_id++)
            if (of[class_id] > threshold)
                boxes.push_back({class_id, of[class_id], corners});
    }
}

std::vector<Box> decode_picodet(const Model &model, const std::vector<Output> &outputs, const Frame &frame)
{
    const std::vector<int> &strides = model.boxes.strides;
    if (outputs.size() != 2 * strides.size())
        throw Error("reading boxes: " + std::to_string(outputs.size()) + " outputs for the scores and distances of " +
                    std::to_string(strides.size()) + " strides");
    std::vector<Box> boxes;
    for (size_t i = 0; i < strides.size(); i++)
        read_level(model, outputs[i], outputs[strides.size() + i], strides[i], boxes);
    std::stable_sort(boxes.begin(), boxes.end(), better);
    boxes = suppress(boxes, model.boxes);
    const float offset[2] = {static_cast<float>(frame.offset_x), static_cast<float>(frame.offset_y)};
    const float scale[2] = {static_cast<float>(frame.scale_x), static_cast<float>(frame.scale_y)};
    for (Box &box : boxes)
        for (int i = 0; i < 4; i++)
            box.corners[i] = (box.corners[i] - offset[i % 2]) / scale[i % 2];
    return boxes;
}

// Rows of class, score, x0, y0, x1, y1 in pixels of the picture; those of class -1 are no boxes. A count of rows
// may stand beside them.
std::vector<Box> read_rows(const Model &model, const std::vector<Output> &outputs)
{
    const Output *rows = nullptr;
    int64_t counted = -1;
    std::string described;
    for (const Output &output : outputs) {
        described += (described.empty() ? "" : ", ") + output.describe();
        if (output.dtype == "float32" && rows == nullptr && output.shape.size() == 2 && output.shape[1] == 6)
            rows = &output;
        else if (counted >= 0 || output.shape != std::vector<int64_t>{1} ||
                 (output.dtype != "int32" && output.dtype != "int64"))
            throw Error("reading boxes: the outputs are " + described + ", not rows of boxes and their count");
        else if (output.dtype == "int32")
            counted = *static_cast<const int32_t *>(output.data);
        else
            counted = *static_cast<const int64_t *>(output.data);
    }
    if (rows == nullptr || counted > rows->shape[0])
        throw Error("reading boxes: the outputs are " + described + ", with a count of " + std::to_string(counted));
    std::vector<Box> boxes;
    const float *row = rows->floats();
    for (int64_t i = 0; i < (counted < 0 ? rows->shape[0] : counted); i++, row += 6) {
        if (!std::all_of(row, row + 6, [](float value) { return std::isfinite(value); }))
            throw Error("reading boxes: a row is not finite (NaN or infinity)");
        if (row[0] != std::floor(row[0]) || row[0] < -1 || row[0] >= static_cast<float>(model.num_classes))
            throw Error("reading boxes: a row has the class " + std::to_string(row[0]) + "; the model has " +
                        std::to_string(model.num_classes));
        if (row[0] >= 0 && row[1] > static_cast<float>(model.boxes.answer_threshold))
            boxes.push_back({static_cast<int>(row[0]), row[1], {row[2], row[3], row[4], row[5]}});
    }
    std::stable_sort(boxes.begin(), boxes.end(), better);
    return boxes;
}

} // namespace

void detect(const Model &model, const std::vector<Output> &outputs, const Seen &seen, const Asked &asked, Line &line)
{
    std::vector<Box> boxes =
        model.boxes.strides.empty() ? read_rows(model, outputs) : decode_picodet(model, outputs, seen.frame);
    std::vector<int> classes;
    std::vector<double> scores;
    std::vector<std::array<float, 4>> corners;
    for (Box &box : boxes) {
        for (int i = 0; i < 4; i++)
            box.corners[i] = std::clamp(box.corners[i], 0.f, static_cast<float>(i % 2 ? seen.height : seen.width));
        if (area(box) <= 0 || (asked.top_k != 0 && classes.size() == static_cast<size_t>(asked.top_k)))
            continue;
        classes.push_back(box.class_id);
        scores.push_back(box.score);
        corners.push_back(box.corners);
    }
    line.integers("class_ids", classes);
    line.numbers("scores", scores, "%.7g");
    line.names("label_names", classes, model);
    line.boxes("boxes", corners);
    line.text("filename", seen.path);
}

} // namespace edgekit
