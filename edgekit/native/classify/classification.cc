// The classes of a picture, like edgekit/tasks/classification.py and multilabel.py, and its attributes, like
// edgekit/core/attributes.py.
#include "answer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace edgekit {
namespace {

constexpr int TOP_K = 5;

// The shortest digits that read as the number, as Python writes them.
std::string shortest(double value)
{
    char text[64] = "";
    for (int digits = 1; digits <= 17; digits++) {
        std::snprintf(text, sizeof text, "%.*g", digits, value);
        if (std::strtod(text, nullptr) == value)
            break;
    }
    if (std::fabs(value) >= 1 && std::fabs(value) < 1e16 && std::strchr(text, 'e') != nullptr)
        std::snprintf(text, sizeof text, "%.0f", value);
    return std::strpbrk(text, ".e") != nullptr ? text : std::string(text) + ".0";
}

void replace_all(std::string &text, const std::string &from, const std::string &to)
{
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
        text.replace(at, from.size(), to);
}

// Appends the texts of a part; empty ones are left out.
void texts_of(const Part &part, const std::vector<float> &scores, std::vector<std::string> &texts)
{
    auto score = [&](size_t place) { return static_cast<double>(scores[part.classes[place]]); };
    size_t best = 0, found = 0;
    for (size_t i = 1; i < part.classes.size(); i++)
        if (score(i) > score(best))
            best = i;
    for (size_t i = 0; i < part.classes.size(); i++) {
        bool tried = part.every || i == best;
        bool passes = !part.above || score(i) > *part.above || (part.at_least && score(i) == *part.above);
        if (!tried || !passes)
            continue;
        found++;
        std::string text = part.form;
        replace_all(text, "{name}", part.names[i]);
        replace_all(text, "{score}", shortest(score(i)));
        texts.push_back(text);
    }
    if (found == 0)
        texts.push_back(part.otherwise.value_or(part.names[best]));
    texts.erase(std::remove(texts.begin(), texts.end(), ""), texts.end());
}

std::string join(const std::vector<std::string> &texts, const std::string &between)
{
    std::string all;
    for (size_t i = 0; i < texts.size(); i++)
        all += (i ? between : "") + texts[i];
    return all;
}

void attributes(const ClassRule &rule, const std::vector<float> &scores, Line &line)
{
    std::vector<std::string> every;
    for (const Attribute &attribute : rule.attributes) {
        std::vector<std::string> texts;
        for (const Part &part : attribute.parts)
            texts_of(part, scores, texts);
        std::string text = attribute.begins + join(texts, " ");
        if (!text.empty())
            every.push_back(text);
    }
    std::vector<int> above;
    for (size_t i = 0; i < scores.size(); i++)
        above.push_back(static_cast<double>(scores[i]) > rule.thresholds[i]);
    if (rule.joined)
        line.text("attributes", join(every, *rule.joined));
    else
        line.texts("attributes", every);
    line.integers("output", above);
}

// The one class that a threshold decides on, and its score.
std::pair<int, double> decided(const ClassRule &rule, const std::vector<float> &scores)
{
    float limit = static_cast<float>(rule.thresholds.front());
    if (scores.size() == 2) {
        double second = scores[1];
        return scores[1] >= limit ? std::pair{1, second} : std::pair{0, 1 - second};
    }
    int best = static_cast<int>(std::max_element(scores.begin(), scores.end()) - scores.begin());
    int chosen = scores[best] > limit ? best : rule.default_class;
    return {chosen, scores[chosen]};
}

// The best classes first; of a multi-label model those that reach their thresholds, in order of class.
std::vector<int> best_classes(const ClassRule &rule, const std::vector<float> &scores, int top_k)
{
    bool several = rule.kind == ClassRule::Kind::multilabel;
    std::vector<int> classes;
    for (size_t i = 0; i < scores.size(); i++)
        if (!several || scores[i] >= static_cast<float>(rule.thresholds[i]))
            classes.push_back(static_cast<int>(i));
    std::stable_sort(classes.begin(), classes.end(), [&](int a, int b) { return scores[a] > scores[b]; });
    int most = top_k ? top_k : several ? static_cast<int>(scores.size()) : rule.top_k ? rule.top_k : TOP_K;
    classes.resize(std::min(classes.size(), static_cast<size_t>(most)));
    if (several)
        std::sort(classes.begin(), classes.end());
    return classes;
}

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
    if (model.rule.kind == ClassRule::Kind::attributes) {
        attributes(model.rule, scores, line);
        line.text("filename", seen.path);
        return;
    }
    std::vector<int> classes;
    std::vector<double> shown;
    if (model.rule.kind == ClassRule::Kind::threshold) {
        auto [chosen, score] = decided(model.rule, scores);
        classes = {chosen};
        shown = {score};
    } else {
        classes = best_classes(model.rule, scores, asked.top_k);
        for (int each : classes)
            shown.push_back(scores[each]);
    }
    line.integers("class_ids", classes);
    line.numbers("scores", shown, "%.7g");
    line.names("label_names", classes, model);
    line.text("filename", seen.path);
}

} // namespace edgekit
