package org.edgekit.demo.model;

import java.util.List;

/** A model whose description and labels were read and fit each other. */
public final class LoadedModel {
    /** Name of its directory in the assets. */
    public final String directory;

    public final ModelSpec spec;

    /** One name a class for people, in order: the display labels, else the labels. */
    public final List<String> labels;

    LoadedModel(String directory, ModelSpec spec, List<String> labels) {
        this.directory = directory;
        this.spec = spec;
        this.labels = labels;
    }
}
