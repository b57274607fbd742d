package org.edgekit.demo.model;

/** Rule by which a classifier answers, equal to the host's record {@code Postprocess}. */
public final class ScoresRule {
    /** Kind of answer: {@code topk}, {@code threshold} or {@code multilabel}. */
    public final String kind;

    /** Maximum number of classes of {@code topk}; null leaves it to the screen. */
    public final Integer topK;

    /** One threshold for all classes, or one a class. */
    public final double[] thresholds;

    /** Answer of {@code threshold} where no class reaches the threshold. */
    public final int defaultClass;

    ScoresRule(Fields fields, int numClasses) throws ModelException {
        kind = fields.text("kind");
        topK = fields.integerOrNull("top_k");
        thresholds = fields.numbers("thresholds");
        defaultClass = fields.integer("default_class");
        boolean fits;
        switch (kind) {
            case "topk":
                fits = thresholds.length == 0;
                break;
            case "threshold":
                fits = thresholds.length == 1;
                break;
            case "multilabel":
                fits = thresholds.length == 1 || thresholds.length == numClasses;
                break;
            default:
                throw fields.refuse("\"kind\" is \"" + kind + "\", which this app does not know");
        }
        if (!fits || defaultClass < 0 || defaultClass >= numClasses) {
            throw fields.refuse(
                    thresholds.length + " thresholds and the default class " + defaultClass
                            + " do not fit the kind " + kind + " of " + numClasses + " classes");
        }
    }
}
