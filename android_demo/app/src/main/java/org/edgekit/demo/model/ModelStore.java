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
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * The models in the assets, {@code models/NAME/}: what there is, and each file with its hash checked.
 * All methods read files: not for the main thread.
 */
public final class ModelStore {
    public static final String ROOT = "models";
    public static final String INDEX = "index.json";
    private static final String NO_MODEL =
            "This app has no model. Bundle one with: edgekit bundle NAME, then build again.";
    private static final int CHUNK_BYTES = 1 << 16;

    private final AssetManager assets;
    private final File extracted;

    /**
     * @param extracted directory for artifacts that engines want as files; the store empties it of others
     */
    public ModelStore(AssetManager assets, File extracted) {
        this.assets = assets;
        this.extracted = extracted;
    }

    /**
     * Names of the bundled models in the order in which they were bundled; a broken one is among them and
     * fails when it is read.
     */
    public List<String> names() throws ModelException {
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
        return new LoadedModel(name, spec, Collections.unmodifiableList(
                Arrays.asList(Arrays.copyOf(labels, count))));
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
        try (InputStream in = assets.open(path(name, file))) {
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
