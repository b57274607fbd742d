package org.edgekit.demo.inference;

import org.edgekit.demo.engine.Engine;
import org.edgekit.demo.engine.PowerMode;
import org.edgekit.demo.model.ArtifactSpec;
import org.edgekit.demo.model.LoadedModel;

/** An artifact of a model, the engine that runs it, and the settings. */
public final class Configuration {
    public final LoadedModel model;
    public final ArtifactSpec artifact;
    public final Engine engine;
    public final int threads;
    public final PowerMode powerMode;

    public Configuration(
            LoadedModel model,
            ArtifactSpec artifact,
            Engine engine,
            int threads,
            PowerMode powerMode) {
        this.model = model;
        this.artifact = artifact;
        this.engine = engine;
        this.threads = threads;
        this.powerMode = powerMode;
    }

    /** A key that is equal for configurations that share one loaded session. */
    public String key() {
        return model.directory + "|" + artifact.kind + "|" + engine.name() + "|" + threads + "|"
                + powerMode;
    }
}
