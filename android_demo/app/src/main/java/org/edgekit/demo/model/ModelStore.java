package org.edgekit.demo.model;

import android.content.res.AssetManager;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * The models in the assets, {@code models/NAME/}, and those that the user imported: what there is, and each
 * file with its hash checked. Of two of one name the bundled one counts. All methods read files: not for the
 * main thread.
 */
public final class ModelStore {
    public static final String ROOT = "models";
    public static final String INDEX = "index.json";
    private static final String NO_MODEL =
            "This app has no model. Bundle one with: edgekit bundle NAME, then build again; or import one.";
    private static final int CHUNK_BYTES = 1 << 16;

    private final AssetManager assets;
    private final File extracted;
    private final File imported;

    /**
     * @param assets null for a store of imported models alone
     * @param extracted directory for artifacts that engines want as files; the store empties it of others
     * @param imported a directory a model
     */
    public ModelStore(AssetManager assets, File extracted, File imported) {
        this.assets = assets;
        this.extracted = extracted;
        this.imported = imported;
    }

    /**
     * Names of the bundled models in the order in which they were bundled, then the imported ones; a broken
     * one is among them and fails when it is read.
     */
    public List<String> names() throws ModelException {
        List<String> names = new ArrayList<>();
        List<String> added = importedNames();
        try {
            names.addAll(bundledNames());
        } catch (ModelException error) {
            if (added.isEmpty()) {
                throw error;
            }
        }
        for (String name : added) {
            if (!names.contains(name)) {
                names.add(name);
            }
        }
        return names;
    }

    /** True for a model that the user imported and can remove. */
    public boolean isImported(String name) {
        return new File(imported, name).isDirectory() && !isBundled(name);
    }

    private boolean isBundled(String name) {
        if (assets == null) {
            return false;
        }
        try {
            assets.open(path(name, ModelSpec.FILE_NAME)).close();
            return true;
        } catch (IOException error) {
            return false;
        }
    }

    private List<String> importedNames() {
        List<String> names = new ArrayList<>();
        String[] found = imported.list();
        for (String name : found == null ? new String[0] : found) {
            if (!name.startsWith(".")) { // half of an import
                names.add(name);
            }
        }
        Collections.sort(names);
        return names;
    }

    private List<String> bundledNames() throws ModelException {
        if (assets == null) {
            return Collections.emptyList();
        }
        String text;
        try (InputStream in = assets.open(ROOT + "/" + INDEX)) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            copy(in, out);
            text = new String(out.toByteArray(), StandardCharsets.UTF_8);
        } catch (IOException error) {
            throw new ModelException(NO_MODEL, error);
        }
        List<String> names = Fields.parse(text, INDEX).texts("models");
        if (names.isEmpty()) {
            throw new ModelException(NO_MODEL);
        }
        return names;
    }

    /** The description of one model, with its labels checked against it. */
    public LoadedModel read(String name) throws ModelException {
        String text = new String(bytes(name, ModelSpec.FILE_NAME), StandardCharsets.UTF_8);
        ModelSpec spec = ModelSpec.parse(text, name);
        if (!spec.name.equals(name)) {
            throw new ModelException(
                    name + "/" + ModelSpec.FILE_NAME + " describes another model: " + spec.name);
        }
        byte[] labelBytes = verified(name, spec.labelsFile, spec.labelsSha256);
        String[] labels = new String(labelBytes, StandardCharsets.UTF_8).split("\n", -1);
        int count = labels.length > 0 && labels[labels.length - 1].isEmpty()
                ? labels.length - 1
                : labels.length;
        if (count != spec.numClasses) {
            throw new ModelException(
                    name + "/" + spec.labelsFile + ": " + count + " labels for " + spec.numClasses
                            + " classes");
        }
        return new LoadedModel(
                name,
                spec,
                spec.displayLabels.isEmpty()
                        ? Collections.unmodifiableList(Arrays.asList(Arrays.copyOf(labels, count)))
                        : spec.displayLabels);
    }

    /** The bytes of a bundled sample picture. */
    public byte[] sample(String name, SampleSpec sample) throws ModelException {
        return verified(name, sample.file, sample.sha256);
    }

    /** The bytes of a sample picture as the host resized it; null where the app resizes it itself. */
    public byte[] resizedSample(String name, SampleSpec sample) throws ModelException {
        return sample.resizedFile == null
                ? null
                : verified(name, sample.resizedFile, sample.resizedSha256);
    }

    /**
     * The artifact as a file with the hash that the description names.
     *
     * <p>It is copied out of the APK once; a copy that another version or a fault left behind is
     * replaced, and files of other hashes are deleted.
     */
    public File artifact(String name, ArtifactSpec artifact, List<String> keepHashes)
            throws ModelException {
        if (isImported(name)) {
            return verifiedFile(name, artifact);
        }
        if (!extracted.isDirectory() && !extracted.mkdirs()) {
            throw new ModelException("The directory " + extracted + " cannot be made");
        }
        deleteOthers(keepHashes);
        File target = new File(extracted, artifact.sha256);
        try {
            if (target.length() == artifact.sizeBytes && artifact.sha256.equals(hash(target))) {
                return target;
            }
            File part = new File(extracted, artifact.sha256 + ".part");
            String found;
            try (InputStream in = assets.open(path(name, artifact.file));
                    OutputStream out = new FileOutputStream(part)) {
                found = copy(in, out);
            }
            if (!found.equals(artifact.sha256)) {
                part.delete();
                throw damaged(name, artifact.file, artifact.sha256, found);
            }
            if (!part.renameTo(target)) {
                throw new IOException("renaming " + part + " failed");
            }
            return target;
        } catch (IOException error) {
            throw missing(name, artifact.file, error);
        }
    }

    private File verifiedFile(String name, ArtifactSpec artifact) throws ModelException {
        File file = new File(new File(imported, name), artifact.file);
        try {
            String found = hash(file);
            if (!found.equals(artifact.sha256)) {
                throw damaged(name, artifact.file, artifact.sha256, found);
            }
            return file;
        } catch (IOException error) {
            throw missing(name, artifact.file, error);
        }
    }

    private void deleteOthers(List<String> keepHashes) {
        File[] files = extracted.listFiles();
        if (files == null) {
            return;
        }
        for (File file : files) {
            if (!keepHashes.contains(file.getName())) {
                file.delete();
            }
        }
    }

    private byte[] verified(String name, String file, String sha256) throws ModelException {
        byte[] content = bytes(name, file);
        String found = hex(digest().digest(content));
        if (!found.equals(sha256)) {
            throw damaged(name, file, sha256, found);
        }
        return content;
    }

    private byte[] bytes(String name, String file) throws ModelException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (InputStream in =
                isImported(name)
                        ? new FileInputStream(new File(new File(imported, name), file))
                        : assets.open(path(name, file))) {
            copy(in, out);
        } catch (IOException error) {
            throw missing(name, file, error);
        }
        return out.toByteArray();
    }

    private static String path(String name, String file) {
        return ROOT + "/" + name + "/" + file;
    }

    private static ModelException damaged(String name, String file, String wanted, String found) {
        return new ModelException(
                name + "/" + file + " is damaged: its SHA-256 is " + found.substring(0, 12)
                        + "…, model.json says " + wanted.substring(0, Math.min(12, wanted.length()))
                        + "…. Bundle the model again.");
    }

    private static ModelException missing(String name, String file, IOException error) {
        return new ModelException(
                name + "/" + file + " cannot be read: " + error.getMessage()
                        + ". Bundle the model again.",
                error);
    }

    private static String hash(File file) throws IOException {
        try (InputStream in = new FileInputStream(file)) {
            return copy(in, null);
        }
    }

    private static String copy(InputStream in, OutputStream out) throws IOException {
        MessageDigest digest = digest();
        byte[] chunk = new byte[CHUNK_BYTES];
        int count;
        while ((count = in.read(chunk)) >= 0) {
            digest.update(chunk, 0, count);
            if (out != null) {
                out.write(chunk, 0, count);
            }
        }
        return hex(digest.digest());
    }

    private static MessageDigest digest() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new AssertionError(error); // every Android has it
        }
    }

    private static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte value : bytes) {
            text.append(Character.forDigit((value >> 4) & 0xf, 16));
            text.append(Character.forDigit(value & 0xf, 16));
        }
        return text.toString();
    }
}
