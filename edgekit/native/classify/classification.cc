// The best classes of a picture, like edgekit/tasks/classification.py.
#include "answer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace edgekit {
namespace {

constexpr int TOP_K = 5;

} // namespace

void classify(const Model &model, const std::vector<Output> &outputs, const Seen &seen, const Asked &asked, Line &line)
{
    const Output &output = outputs.front();
    int64_t count = 1;
    for (int64_t side : output.shape)
        count *= side;
    if (outputs.size() != 1 || output.dtype != "float32" || count != model.num_classes)
        throw Error("the model gave " + output.describe() + ", not one score for each of the manifest's " +
                    std::to_string(model.num_classes) + " classes");
    std::vector<float> scores(output.floats(), output.floats() + count);
    if (model.logits) {
        float most = *std::max_element(scores.begin(), scores.end()), sum = 0;
        for (float &score : scores)
            sum += score = std::exp(score - most);
        for (float &score : scores)
            score /= sum;
    }
    if (!std::all_of(scores.begin(), scores.end(), [](float score) { return std::isfinite(score); }))
        throw Error("the scores are not finite (NaN or infinity)");
    std::vector<int> classes(scores.size());
    std::iota(classes.begin(), classes.end(), 0);
    std::stable_sort(classes.begin(), classes.end(), [&](int a, int b) { return scores[a] > scores[b]; });
    classes.resize(std::min(classes.size(), static_cast<size_t>(asked.top_k ? asked.top_k : TOP_K)));
    std::vector<double> best;
    for (int each : classes)
        best.push_back(scores[each]);
    line.integers("class_ids", classes);
    line.numbers("scores", best, "%.7g");
    line.names("label_names", classes, model);
    line.text("filename", seen.path);
}

} // namespace edgekit
