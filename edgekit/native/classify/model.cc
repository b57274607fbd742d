#include "model.h"

extern "C" {
#include "../json.h"
}

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

Preprocess read_preprocess(const Members &members)
{
    if (members.has("steps") && members.first("steps") != nullptr)
        throw Error("reading the preprocessing: this program resizes the short side and crops a square; the model "
                    "wants other steps");
    if (members.text("resize_backend") != "opencv" || members.text("interpolation") != "bilinear")
        throw Error("reading the preprocessing: this program resizes as OpenCV does, bilinear; the model wants " +
                    members.text("resize_backend") + ", " + members.text("interpolation"));
    Preprocess result;
    result.crop_size = members.integer("crop_size");
    result.resize_short = members.has("resize_short") ? members.integer("resize_short") : 0;
    if (result.resize_short != 0 && result.resize_short < result.crop_size)
        throw Error("reading the preprocessing: resize_short is less than crop_size");
    result.bgr = members.text("channel_order") == "bgr";
    result.scale = static_cast<float>(members.number("scale"));
    members.three("mean", result.mean);
    members.three("std", result.std);
    return result;
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
    if (manifest.text("task") != "classification")
        throw Error("reading " + path + ": task is " + manifest.text("task") + "; this program classifies");
    const json_value *file = manifest.object("artifacts").object("onnx").first("files");
    Members onnx(file, path + ": the ONNX artifact's file");
    Model model;
    model.path = directory + "/" + onnx.text("path");
    model.sha256 = onnx.text("sha256");
    model.num_classes = manifest.integer("num_classes");
    std::string activation = manifest.text("output_activation");
    if (activation != "softmax" && activation != "none")
        throw Error("reading " + path + ": output_activation is " + activation +
                    "; this program answers with softmax or logits");
    if (manifest.object("postprocess").text("kind") != "topk")
        throw Error("reading " + path + ": postprocess: this program answers with the best classes (topk), not " +
                    manifest.object("postprocess").text("kind"));
    model.logits = activation == "none";
    model.preprocess = read_preprocess(manifest.object("preprocess"));
    if (manifest.has("labels"))
        model.labels = read_labels(directory + "/" + manifest.text("labels"), model.num_classes);
    return model;
}

} // namespace edgekit
