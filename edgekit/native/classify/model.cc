#include "model.h"

extern "C" {
#include "../json.h"
}

#include <algorithm>
#include <memory>
#include <sstream>

namespace edgekit {
namespace {

using Document = std::unique_ptr<json_document, void (*)(json_document *)>;

// Members of one JSON object; a missing member or a wrong type is an error that names the member.
class Members {
public:
    Members(const json_value *object, std::string name) : object_(object), name_(std::move(name))
    {
        if (object == nullptr || object->type != JSON_OBJECT)
            throw Error("reading " + name_ + ": no such object");
    }
    bool has(const char *key) const { return json_member(object_, key) != nullptr; }
    std::string text(const char *key) const { return get(key, JSON_STRING).string; }
    double number(const char *key) const { return get(key, JSON_NUMBER).number; }
    Members object(const char *key) const { return {json_member(object_, key), name_ + ": " + key}; }
    const json_value *first(const char *key) const { return get(key, JSON_ARRAY).first; }
    int integer(const char *key) const
    {
        int64_t value = 0;
        if (!json_integer(json_member(object_, key), 1, 1 << 20, &value))
            throw Error("reading " + name_ + ": " + key + " is no positive integer");
        return static_cast<int>(value);
    }
    bool flag(const char *key) const { return has(key) && get(key, JSON_BOOL).boolean; }
    std::vector<int> integers(const char *key, int least = 1) const
    {
        std::vector<int> result;
        for (const json_value *item = first(key); item != nullptr; item = item->next) {
            int64_t value = 0;
            if (!json_integer(item, least, 1 << 20, &value))
                throw Error("reading " + name_ + ": " + key + " has what is no integer from " +
                            std::to_string(least) + " on");
            result.push_back(static_cast<int>(value));
        }
        return result;
    }
    std::vector<double> numbers(const char *key) const
    {
        std::vector<double> result;
        for (const json_value *item = first(key); item != nullptr; item = item->next) {
            if (item->type != JSON_NUMBER)
                throw Error("reading " + name_ + ": " + key + " has what is no number");
            result.push_back(item->number);
        }
        return result;
    }
    std::vector<std::string> texts(const char *key) const
    {
        std::vector<std::string> result;
        for (const json_value *item = first(key); item != nullptr; item = item->next) {
            if (item->type != JSON_STRING)
                throw Error("reading " + name_ + ": " + key + " has what is no text");
            result.push_back(item->string);
        }
        return result;
    }
    std::optional<std::string> maybe_text(const char *key) const
    {
        return has(key) ? std::optional<std::string>(text(key)) : std::nullopt;
    }
    void three(const char *key, float (&result)[3]) const
    {
        const json_value *item = first(key);
        for (float &value : result) {
            if (item == nullptr || item->type != JSON_NUMBER)
                throw Error("reading " + name_ + ": " + key + " is not three numbers");
            value = static_cast<float>(item->number);
            item = item->next;
        }
    }

private:
    const json_value &get(const char *key, json_type type) const
    {
        const json_value *value = json_member(object_, key);
        if (value == nullptr || value->type != type)
            throw Error("reading " + name_ + ": " + key + " is missing or of another type");
        return *value;
    }
    const json_value *object_;
    std::string name_;
};

// Refuses what differs from OpenCV's bilinear and bicubic resizing; returns true for bicubic.
bool is_cubic(const std::string &backend, const std::string &interpolation)
{
    if (backend != "opencv" || (interpolation != "bilinear" && interpolation != "bicubic"))
        throw Error("reading the preprocessing: this program resizes as OpenCV does, bilinear or bicubic; the model "
                    "wants " + backend + ", " + interpolation);
    return interpolation == "bicubic";
}

Step read_step(const Members &members)
{
    Step step;
    std::string kind = members.text("step");
    if (kind != "crop" && kind != "resize" && kind != "pad")
        throw Error("reading the preprocessing: this program does no step " + kind);
    step.crop = kind == "crop";
    step.pad = kind == "pad";
    if (kind == "resize") {
        step.cubic = is_cubic(members.text("backend"), members.text("interpolation"));
        step.short_side = members.has("short") ? members.integer("short") : 0;
        if (members.has("within")) {
            std::vector<int> within = members.integers("within");
            if (within.size() != 2)
                throw Error("reading the preprocessing: within is no two bounds");
            step.within_short = within[0];
            step.within_long = within[1];
            return step;
        }
    }
    step.has_level = step.pad && members.has("level");
    if (step.has_level)
        members.three("level", step.level);
    if (step.short_side == 0) {
        std::vector<int> size = members.integers("size");
        if (size.size() != 2)
            throw Error("reading the preprocessing: a size is no height and width");
        step.height = size[0];
        step.width = size[1];
    }
    return step;
}

// PaddleClas's usual steps, which four fields describe.
std::vector<Step> usual_steps(const Members &members)
{
    Step resize, crop;
    resize.cubic = is_cubic(members.text("resize_backend"), members.text("interpolation"));
    crop.crop = true;
    crop.width = crop.height = resize.width = resize.height = members.integer("crop_size");
    if (!members.has("resize_short"))
        return {resize};
    resize.short_side = members.integer("resize_short");
    if (resize.short_side < crop.width)
        throw Error("reading the preprocessing: resize_short is less than crop_size");
    return {resize, crop};
}

Preprocess read_preprocess(const Members &members)
{
    Preprocess result;
    if (members.has("steps"))
        for (const json_value *step = members.first("steps"); step != nullptr; step = step->next)
            result.steps.push_back(read_step({step, "the preprocessing's steps"}));
    if (result.steps.empty())
        result.steps = usual_steps(members);
    if (result.steps.back().width == 0)
        throw Error("reading the preprocessing: the last of steps leaves the size to the picture");
    for (size_t i = 0; i + 1 < result.steps.size(); i++)
        if (result.steps[i].pad)
            throw Error("reading the preprocessing: padding is not the last of steps");
    std::string order = members.text("channel_order");
    if (order != "rgb" && order != "bgr" && order != "grey")
        throw Error("reading the preprocessing: channel_order is " + order + "; this program feeds rgb, bgr or grey");
    result.grey = order == "grey";
    result.bgr = order == "bgr";
    result.scale = static_cast<float>(members.number("scale"));
    members.three("mean", result.mean);
    members.three("std", result.std);
    return result;
}

BoxesRule read_boxes(const Members &members, const std::string &path)
{
    BoxesRule rule;
    std::string kind = members.text("kind");
    if (kind != "picodet" && kind != "boxes")
        throw Error("reading " + path + ": postprocess: this program finds boxes by picodet or boxes, not " + kind);
    if (members.has("answer_threshold"))
        rule.answer_threshold = members.number("answer_threshold");
    if (kind == "boxes")
        return rule;
    rule.strides = members.has("strides") ? members.integers("strides") : std::vector<int>{8, 16, 32, 64};
    if (rule.strides.empty())
        throw Error("reading " + path + ": postprocess: strides is empty");
    if (members.has("nms_threshold"))
        rule.nms_threshold = members.number("nms_threshold");
    for (auto [key, value] : {std::pair{"bins", &rule.bins}, std::pair{"nms_top_k", &rule.nms_top_k},
                              std::pair{"keep_top_k", &rule.keep_top_k}})
        if (members.has(key))
            *value = members.integer(key);
    return rule;
}

std::vector<std::string> read_labels(const std::string &path, int count)
{
    std::vector<uint8_t> bytes = read_file(path);
    std::istringstream lines(std::string(bytes.begin(), bytes.end()));
    std::vector<std::string> labels;
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        labels.push_back(line);
    }
    if (labels.size() != static_cast<size_t>(count))
        throw Error("reading " + path + ": " + std::to_string(labels.size()) + " labels for " +
                    std::to_string(count) + " classes");
    return labels;
}

Part read_part(const Members &members, int num_classes)
{
    Part part;
    part.classes = members.integers("classes", 0);
    part.names = members.texts("names");
    part.every = members.flag("every");
    part.at_least = members.flag("at_least");
    if (members.has("above"))
        part.above = members.number("above");
    part.otherwise = members.maybe_text("otherwise");
    part.form = members.maybe_text("form").value_or(part.form);
    bool beyond = std::any_of(part.classes.begin(), part.classes.end(), [&](int one) { return one >= num_classes; });
    if (part.classes.empty() || part.classes.size() != part.names.size() || beyond)
        throw Error("reading the attributes: a part has no name for each of its classes, or a class that the model "
                    "lacks");
    return part;
}

std::vector<Attribute> read_attributes(const Members &members, int num_classes)
{
    std::vector<Attribute> attributes;
    for (const json_value *each = members.first("every"); each != nullptr; each = each->next) {
        Members one(each, "the attributes");
        Attribute attribute;
        attribute.begins = one.maybe_text("begins").value_or("");
        for (const json_value *part = one.first("parts"); part != nullptr; part = part->next)
            attribute.parts.push_back(read_part({part, "an attribute's parts"}, num_classes));
        attributes.push_back(std::move(attribute));
    }
    return attributes;
}

ClassRule read_rule(const Members &members, const std::string &place, int num_classes, bool several)
{
    using Kind = ClassRule::Kind;
    ClassRule rule;
    std::string kind = members.text("kind");
    if (!several && kind == "threshold")
        rule.kind = Kind::threshold;
    else if (several && kind == "multilabel")
        rule.kind = Kind::multilabel;
    else if (several && kind == "attributes")
        rule.kind = Kind::attributes;
    else if (several || kind != "topk")
        throw Error("reading " + place + ": a model of this task does not answer by " + kind);
    if (members.has("top_k"))
        rule.top_k = members.integer("top_k");
    if (members.has("default_class"))
        rule.default_class = static_cast<int>(members.number("default_class"));
    if (rule.kind == Kind::topk)
        return rule;
    rule.thresholds = members.numbers("thresholds");
    size_t count = rule.thresholds.size(), classes = static_cast<size_t>(num_classes);
    bool one_each = count == classes && rule.kind != Kind::threshold;
    if ((count != 1 && !one_each) || rule.default_class < 0 || rule.default_class >= num_classes)
        throw Error("reading " + place + ": " + std::to_string(count) + " thresholds or the default class do not fit " +
                    std::to_string(num_classes) + " classes");
    if (rule.kind == Kind::attributes) {
        rule.attributes = read_attributes(members.object("attributes"), num_classes);
        rule.joined = members.object("attributes").maybe_text("joined");
        if (!one_each)
            throw Error("reading " + place + ": attributes need a threshold for each class");
    }
    if (rule.kind != Kind::threshold)
        rule.thresholds.resize(classes, rule.thresholds.front());
    return rule;
}

void read_task(const Members &manifest, const std::string &path, Model &model)
{
    std::string task = manifest.text("task"), activation = manifest.text("output_activation");
    if (task == "detection") {
        model.task = Task::detection;
        model.boxes = read_boxes(manifest.object("postprocess"), path);
        return;
    }
    if (task == "segmentation") {
        model.task = Task::segmentation;
        return;
    }
    if (task != "classification" && task != "multilabel")
        throw Error("reading " + path + ": task is " + task +
                    "; this program answers for classification, multilabel, detection and segmentation");
    bool several = task == "multilabel";
    if (!several && activation != "softmax" && activation != "none")
        throw Error("reading " + path + ": output_activation is " + activation +
                    "; this program answers with softmax or logits");
    model.rule = read_rule(manifest.object("postprocess"), path + ": postprocess", model.num_classes, several);
    model.logits = !several && activation == "none";
}

} // namespace

Model read_model(const std::string &directory)
{
    std::string path = directory + "/manifest.json";
    std::vector<uint8_t> text = read_file(path);
    json_document document = json_parse(reinterpret_cast<const char *>(text.data()), text.size());
    Document owner(&document, json_free);
    if (document.error != nullptr)
        throw Error("reading " + path + ": " + document.error);
    Members manifest(document.values, path);
    if (manifest.integer("schema_version") != 2)
        throw Error("reading " + path + ": schema_version is not 2");
    const json_value *file = manifest.object("artifacts").object("onnx").first("files");
    Members onnx(file, path + ": the ONNX artifact's file");
    Model model;
    model.path = directory + "/" + onnx.text("path");
    model.sha256 = onnx.text("sha256");
    model.num_classes = manifest.integer("num_classes");
    read_task(manifest, path, model);
    model.preprocess = read_preprocess(manifest.object("preprocess"));
    if (model.task == Task::segmentation)
        for (const Step &step : model.preprocess.steps)
            if (step.crop || step.pad || step.within_short != 0)
                throw Error("reading " + path + ": its preprocessing crops or pads, so that its label maps are not of "
                            "whole pictures");
    if (manifest.has("labels"))
        model.labels = read_labels(directory + "/" + manifest.text("labels"), model.num_classes);
    return model;
}

} // namespace edgekit
