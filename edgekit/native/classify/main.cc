// Answers for pictures with an exported model, without Python; an example of a deployment in C++.
//
//   edgekit-classify MODEL_DIR IMAGE... [--top-k K] [--threads N] [--label-maps DIR]
//
// Classifies, finds boxes or segments, as the model's task says. Writes one JSON line a picture to stdout, like
// `edgekit predict --jsonl`, the label maps of segmentation to DIR, and errors to stderr.
// Exit code: 0, 2 for a wrong call, 3 where a picture failed, 4 where the model or the engine failed.
#include "network.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace {

using edgekit::Asked;
using edgekit::Error;

struct Call {
    std::string directory;
    std::vector<std::string> pictures;
    Asked asked;
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

std::string directory_of(const char *option, const char *text)
{
    if (text == nullptr || *text == '\0')
        throw Error(std::string(option) + " needs a directory");
    return text;
}

Call parse(int argc, char **argv)
{
    Call call;
    std::vector<std::string> words;
    for (int i = 1; i < argc; i++) {
        if (std::strcmp(argv[i], "--top-k") == 0)
            call.asked.top_k = count_of("--top-k", argv[++i]);
        else if (std::strcmp(argv[i], "--threads") == 0)
            call.threads = count_of("--threads", argv[++i]);
        else if (std::strcmp(argv[i], "--label-maps") == 0)
            call.asked.maps = directory_of("--label-maps", argv[++i]);
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

void answer(const edgekit::Model &model, edgekit::Network &network, const std::string &path, const Asked &asked)
{
    edgekit::Picture picture = edgekit::decode(path);
    edgekit::Seen seen{path, picture.width, picture.height, {}};
    std::vector<edgekit::Output> outputs = network.run(model, picture, &seen.frame);
    edgekit::Line line;
    switch (model.task) {
    case edgekit::Task::classification:
        edgekit::classify(model, outputs, seen, asked, line);
        break;
    case edgekit::Task::detection:
        edgekit::detect(model, outputs, seen, asked, line);
        break;
    case edgekit::Task::segmentation:
        edgekit::segment(model, outputs, seen, asked, line);
        break;
    }
    line.print();
}

} // namespace

int main(int argc, char **argv)
{
    Call call;
    try {
        call = parse(argc, argv);
    } catch (const std::exception &error) {
        std::fprintf(stderr,
                     "error: %s\nusage: edgekit-classify MODEL_DIR IMAGE... [--top-k K] [--threads N] "
                     "[--label-maps DIR]\n",
                     error.what());
        return 2;
    }
    edgekit::Model model;
    std::unique_ptr<edgekit::Network> network;
    try {
        model = edgekit::read_model(call.directory);
        if (call.asked.top_k != 0 && model.rule.kind == edgekit::ClassRule::Kind::attributes)
            throw Error("--top-k: the model's attributes are answered all");
        network = std::make_unique<edgekit::Network>(model, call.threads);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 4;
    }
    int code = 0;
    for (const std::string &path : call.pictures) {
        try {
            answer(model, *network, path, call.asked);
        } catch (const std::exception &error) {
            std::fprintf(stderr, "error: %s\n", error.what());
            code = 3;
        }
    }
    return std::fflush(stdout) == 0 ? code : 3;
}
