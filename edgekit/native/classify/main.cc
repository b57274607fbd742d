// Classifies pictures with an exported model, without Python; an example of a deployment in C++.
//
//   edgekit-classify MODEL_DIR IMAGE... [--top-k K] [--threads N]
//
// Writes one JSON line a picture to stdout, like `edgekit predict --jsonl`, and errors to stderr.
// Exit code: 0, 2 for a wrong call, 3 where a picture failed, 4 where the model or the engine failed.
#include "model.h"

#include "../engine.h"
extern "C" {
#include "../json.h"
#include "../sha256.h"
}

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>

namespace {

using edgekit::Error;

struct Call {
    std::string directory;
    std::vector<std::string> pictures;
    int top_k = 5;
    int threads = 1;
};

int count_of(const char *option, const char *text)
{
    char *end = nullptr;
    errno = 0;
    long value = text != nullptr ? std::strtol(text, &end, 10) : 0;
    if (text == nullptr || *end != '\0' || errno != 0 || value < 1 || value > 1 << 20)
        throw Error(std::string(option) + " needs a positive number");
    return static_cast<int>(value);
}

Call parse(int argc, char **argv)
{
    Call call;
    std::vector<std::string> words;
    for (int i = 1; i < argc; i++) {
        if (std::strcmp(argv[i], "--top-k") == 0)
            call.top_k = count_of("--top-k", argv[++i]);
        else if (std::strcmp(argv[i], "--threads") == 0)
            call.threads = count_of("--threads", argv[++i]);
        else if (std::strncmp(argv[i], "--", 2) == 0)
            throw Error(std::string("no option ") + argv[i]);
        else
            words.emplace_back(argv[i]);
        if (i >= argc)
            break;
    }
    if (words.size() < 2)
        throw Error("a model's directory and at least one picture are needed");
    call.directory = words.front();
    call.pictures.assign(words.begin() + 1, words.end());
    return call;
}

void check(bool ok, const failure &why)
{
    if (!ok)
        throw Error(why.message);
}

void check_hash(const edgekit::Model &model)
{
    char actual[SHA256_HEX_SIZE];
    FILE *file = std::fopen(model.path.c_str(), "rbe");
    if (file == nullptr)
        throw Error("reading " + model.path + ": " + std::strerror(errno));
    bool ok = sha256_file(file, actual);
    std::fclose(file);
    if (!ok || model.sha256 != actual)
        throw Error("reading " + model.path + ": its content is not the one that the manifest names");
}

void load(const edgekit::Model &model, int threads)
{
    failure why = {};
    engine_config config = {};
    config.model = model.path.c_str();
    config.threads = threads;
    config.mode = POWER_NONE;
    check_hash(model);
    check(engine_open(&why), why);
    check(engine_load(&config, &why), why);
}

std::vector<float> classify(const edgekit::Model &model, const std::string &path)
{
    failure why = {};
    int64_t side = model.preprocess.crop_size;
    tensor_info tensor = {"", "float32", {4, {1, 3, side, side}}};
    edgekit::Picture picture = edgekit::decode(path);
    auto *input = static_cast<float *>(engine_input(0, &tensor, &why));
    check(input != nullptr, why);
    edgekit::preprocess(picture, model.preprocess, input);
    check(engine_run(&why), why);
    auto *output = static_cast<const float *>(engine_output(0, &tensor, &why));
    check(output != nullptr, why);
    if (std::string(tensor.dtype) != "float32" ||
        tensor_bytes(&tensor) != sizeof(float) * static_cast<size_t>(model.num_classes))
        throw Error("the model gave another number of scores than the manifest has classes");
    std::vector<float> scores(output, output + model.num_classes);
    if (model.logits) {
        float most = *std::max_element(scores.begin(), scores.end()), sum = 0;
        for (float &score : scores)
            sum += score = std::exp(score - most);
        for (float &score : scores)
            score /= sum;
    }
    return scores;
}

void print(const edgekit::Model &model, const std::string &path, const std::vector<float> &scores, int top_k)
{
    std::vector<int> classes(scores.size());
    std::iota(classes.begin(), classes.end(), 0);
    std::stable_sort(classes.begin(), classes.end(), [&](int a, int b) { return scores[a] > scores[b]; });
    classes.resize(std::min(classes.size(), static_cast<size_t>(top_k)));
    json_text line = {};
    json_append(&line, "{\"class_ids\":[");
    for (size_t i = 0; i < classes.size(); i++)
        json_append(&line, "%s%d", i ? "," : "", classes[i]);
    json_append(&line, "],\"scores\":[");
    for (size_t i = 0; i < classes.size(); i++)
        json_append(&line, "%s%.7g", i ? "," : "", static_cast<double>(scores[classes[i]]));
    json_append(&line, "],\"label_names\":[");
    for (size_t i = 0; i < classes.size() && !model.labels.empty(); i++) {
        json_append(&line, "%s", i ? "," : "");
        json_append_string(&line, model.labels[classes[i]].c_str());
    }
    json_append(&line, "],\"filename\":");
    json_append_string(&line, path.c_str());
    json_append(&line, "}\n");
    bool ok = !line.failed && std::fwrite(line.text, 1, line.length, stdout) == line.length;
    std::free(line.text);
    if (!ok)
        throw Error("writing the answer failed");
}

} // namespace

int main(int argc, char **argv)
{
    Call call;
    edgekit::Model model;
    try {
        call = parse(argc, argv);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "error: %s\nusage: edgekit-classify MODEL_DIR IMAGE... [--top-k K] [--threads N]\n",
                     error.what());
        return 2;
    }
    try {
        model = edgekit::read_model(call.directory);
        load(model, call.threads);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 4;
    }
    int code = 0;
    for (const std::string &path : call.pictures) {
        try {
            print(model, path, classify(model, path), call.top_k);
        } catch (const std::exception &error) {
            std::fprintf(stderr, "error: %s\n", error.what());
            code = 3;
        }
    }
    return std::fflush(stdout) == 0 ? code : 3;
}
