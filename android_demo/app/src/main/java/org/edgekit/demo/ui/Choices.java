package org.edgekit.demo.ui;

import java.util.ArrayList;
import java.util.List;
import org.edgekit.demo.engine.Engine;
import org.edgekit.demo.engine.EngineCatalogue;
import org.edgekit.demo.model.ArtifactSpec;
import org.edgekit.demo.model.LoadedModel;

/** The choices for a model on this device. */
final class Choices {
    /** An artifact with the engine that runs it. */
    static final class Option {
        final Engine engine;
        final ArtifactSpec artifact;

        Option(Engine engine, ArtifactSpec artifact) {
            this.engine = engine;
            this.artifact = artifact;
        }

        /** A name that is equal in every run of the app. */
        String key() {
            return engine.name() + "|" + artifact.kind;
        }

        @Override
        public String toString() {
            return engine.title() + " · " + artifact.precision;
        }
    }

    private Choices() {}

    /** Every pair of engine and artifact that fit; empty where this flavour runs none of them. */
    static List<Option> options(LoadedModel model) {
        List<Option> all = new ArrayList<>();
        for (Engine engine : EngineCatalogue.engines()) {
            for (ArtifactSpec artifact : model.spec.artifacts) {
                if (artifact.format.equals(engine.format())) {
                    all.add(new Option(engine, artifact));
                }
            }
        }
        return all;
    }

    /** 1, 2, 4, ... up to the number of usable cores. */
    static List<Integer> threads() {
        List<Integer> counts = new ArrayList<>();
        int cores = Runtime.getRuntime().availableProcessors();
        for (int count = 1; count <= cores; count *= 2) {
            counts.add(count);
        }
        return counts;
    }
}
