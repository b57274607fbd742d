package org.edgekit.demo.model;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/**
 * Takes models out of a zip that {@code edgekit bundle --zip} wrote. They are checked as bundled ones are;
 * nothing of a zip is kept unless all of it is right. Not for the main thread.
 */
public final class ModelImport {
    /** Most that a zip may hold in this app, unpacked. */
    public static final long MOST_BYTES = 512L << 20;

    private static final int MOST_ENTRIES = 1000;
    private static final String WORK = ".part";

    // No separators beside the one, and no leading dot, so that nothing lands elsewhere.
    private static final Pattern PLACE =
            Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}/[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}");

    private final ModelStore store;
    private final File imported;
    private final long mostBytes;

    /**
     * @param store the models that there are
     * @param imported the directory in which the store looks for imported ones
     * @param mostBytes most that a zip may hold, unpacked
     */
    public ModelImport(ModelStore store, File imported, long mostBytes) {
        this.store = store;
        this.imported = imported;
        this.mostBytes = mostBytes;
    }

    /**
     * Imports every model of a zip and returns their names.
     *
     * @throws ModelException the zip is none, holds something else than models, or one of them is wrong or
     *     there already
     */
    public List<String> read(InputStream zip) throws ModelException {
        File work = new File(imported, WORK);
        try {
            delete(work);
            if (!work.mkdirs()) {
                throw new ModelException("The directory " + work + " cannot be made");
            }
            List<String> names = unpack(zip, work);
            ModelStore unpacked = new ModelStore(null, work, work);
            for (String name : names) {
                check(unpacked, name);
            }
            for (String name : names) {
                if (!new File(work, name).renameTo(new File(imported, name))) {
                    throw new IOException("renaming " + name + " failed");
                }
            }
            return names;
        } catch (IOException | IllegalArgumentException error) { // the latter for a name that is no UTF-8
            throw new ModelException("The zip cannot be read: " + error.getMessage(), error);
        } finally {
            delete(work);
        }
    }

    /** Removes an imported model. */
    public void remove(String name) throws ModelException {
        if (!store.isImported(name)) {
            throw new ModelException(name + " is no imported model");
        }
        delete(new File(imported, name));
    }

    private List<String> unpack(InputStream zip, File work) throws IOException, ModelException {
        List<String> names = new ArrayList<>();
        Set<String> seen = new HashSet<>();
        long left = mostBytes;
        try (ZipInputStream in = new ZipInputStream(zip)) {
            ZipEntry entry;
            while ((entry = in.getNextEntry()) != null) {
                String place = entry.getName();
                if (place.equals(ModelStore.INDEX)) {
                    continue;
                }
                if (!PLACE.matcher(place).matches()) {
                    throw new ModelException("The zip holds \"" + place + "\", which is no file of a model");
                }
                if (!seen.add(place) || seen.size() > MOST_ENTRIES) {
                    throw new ModelException(
                            "The zip holds " + place + " twice, or more than " + MOST_ENTRIES + " files");
                }
                String name = place.substring(0, place.indexOf('/'));
                if (!names.contains(name)) {
                    names.add(name);
                }
                File target = new File(work, place);
                target.getParentFile().mkdirs();
                left -= copy(in, target, left);
            }
        }
        if (names.isEmpty()) {
            throw new ModelException("This is no zip with a model. One is written by: edgekit bundle NAME --zip FILE");
        }
        return names;
    }

    private long copy(InputStream in, File target, long most)
            throws IOException, ModelException {
        byte[] chunk = new byte[1 << 16];
        long size = 0;
        try (OutputStream out = new FileOutputStream(target)) {
            int count;
            while ((count = in.read(chunk)) >= 0) {
                size += count;
                if (size > most) {
                    throw new ModelException(
                            "The zip unpacks to more than " + (mostBytes >> 20) + " MiB");
                }
                out.write(chunk, 0, count);
            }
        }
        return size;
    }

    /** Reads every file that the description names, with its hash. */
    private void check(ModelStore unpacked, String name) throws ModelException {
        boolean isThere;
        try {
            isThere = store.names().contains(name);
        } catch (ModelException error) {
            isThere = false; // this app has no model yet
        }
        if (isThere) {
            throw new ModelException(name + " is there already. Remove it first, or export under another name.");
        }
        ModelSpec spec = unpacked.read(name).spec;
        for (ArtifactSpec artifact : spec.artifacts) {
            File file = unpacked.artifact(name, artifact, Collections.emptyList());
            if (file.length() != artifact.sizeBytes) {
                throw new ModelException(name + "/" + artifact.file + " has another size than model.json says");
            }
        }
        for (SampleSpec sample : spec.samples) {
            unpacked.sample(name, sample);
            unpacked.resizedSample(name, sample);
        }
    }

    private static void delete(File file) {
        File[] inside = file.listFiles();
        for (File one : inside == null ? new File[0] : inside) {
            delete(one);
        }
        file.delete();
    }
}
