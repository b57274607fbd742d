package org.edgekit.demo.inference;

import org.edgekit.demo.engine.Engine;
import org.edgekit.demo.engine.PowerMode;
import org.edgekit.demo.model.ArtifactSpec;
import org.edgekit.demo.model.LoadedModel;

/** Which artifact of which model runs on which engine, and how. */
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

    /** Equal for configurations that one loaded session serves. */
    public String key() {
        return model.directory + "|" + artifact.kind + "|" + engine.name() + "|" + threads + "|"
                + powerMode;
    }
}
