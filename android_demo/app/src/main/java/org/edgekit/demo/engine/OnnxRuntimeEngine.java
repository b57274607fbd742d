package org.edgekit.demo.engine;

import ai.onnxruntime.NodeInfo;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** ONNX Runtime on the CPU. It binds no threads, so it has one power mode. */
public final class OnnxRuntimeEngine implements Engine {
    @Override
    public String name() {
        return "onnxruntime";
    }

    @Override
    public String title() {
        return "ONNX Runtime";
    }

    @Override
    public String version() throws EngineException {
        return environment().getVersion();
    }

    @Override
    public String format() {
        return "onnx";
    }

    @Override
    public List<PowerMode> powerModes() {
        return Collections.singletonList(PowerMode.NO_BIND);
    }

    @Override
    public Session open(File file, SessionRequest request) throws EngineException {
        OrtEnvironment environment = environment();
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setIntraOpNumThreads(request.threads);
            options.setInterOpNumThreads(1);
            OrtSession session = environment.createSession(file.getPath(), options);
            try {
                check("input", session.getInputInfo(), request.inputName, request.inputShape);
                check("output", session.getOutputInfo(), request.outputName, request.outputShape);
                return new OnnxSession(environment, session, request);
            } catch (OrtException | EngineException | RuntimeException error) {
                session.close();
                throw error;
            }
        } catch (OrtException error) {
            throw EngineException.failed(
                    "ONNX Runtime does not load the model: " + error.getMessage(), error);
        }
    }

    private static OrtEnvironment environment() throws EngineException {
        try {
            return OrtEnvironment.getEnvironment();
        } catch (UnsatisfiedLinkError | ExceptionInInitializerError | NoClassDefFoundError error) {
            throw EngineException.failed(
                    "ONNX Runtime's native library does not load on this device: " + error, error);
        }
    }

    private static void check(String what, Map<String, NodeInfo> nodes, String name, int[] shape)
            throws EngineException {
        NodeInfo node = nodes.get(name);
        if (node == null || !(node.getInfo() instanceof TensorInfo)) {
            throw EngineException.failed(
                    "The network has no " + what + " \"" + name + "\"; it has " + nodes.keySet(), null);
        }
        long[] found = ((TensorInfo) node.getInfo()).getShape();
        boolean fits = found.length == shape.length;
        for (int index = 0; fits && index < found.length; index++) {
            // A dynamic dimension is negative.
            fits = found[index] < 0 || found[index] == shape[index];
        }
        if (!fits) {
            throw EngineException.failed(
                    "The network's " + what + " is " + Arrays.toString(found)
                            + ", model.json says " + Arrays.toString(shape),
                    null);
        }
    }

    private static final class OnnxSession implements Session {
        private final OrtSession session;
        private final SessionRequest request;
        private final FloatBuffer buffer;
        private final OnnxTensor input;
        private OrtSession.Result result;

        OnnxSession(OrtEnvironment environment, OrtSession session, SessionRequest request)
                throws OrtException {
            this.session = session;
            this.request = request;
            buffer =
                    ByteBuffer.allocateDirect(request.inputLength() * Float.BYTES)
                            .order(ByteOrder.nativeOrder())
                            .asFloatBuffer();
            long[] shape = new long[request.inputShape.length];
            for (int index = 0; index < shape.length; index++) {
                shape[index] = request.inputShape[index];
            }
            // The tensor is a view of the buffer: filling the buffer is all that an input costs.
            input = OnnxTensor.createTensor(environment, buffer, shape);
        }

        @Override
        public void setInput(float[] values) {
            buffer.clear();
            buffer.put(values);
            buffer.rewind();
        }

        @Override
        public void run() throws EngineException {
            closeResult();
            try {
                result = session.run(Collections.singletonMap(request.inputName, input));
            } catch (OrtException error) {
                throw EngineException.failed("ONNX Runtime failed: " + error.getMessage(), error);
            }
        }

        @Override
        public float[] output() throws EngineException {
            FloatBuffer values =
                    ((OnnxTensor) result.get(request.outputName).get()).getFloatBuffer();
            if (values.remaining() != request.outputLength()) {
                throw EngineException.failed(
                        "The network gave " + values.remaining() + " values instead of "
                                + request.outputLength(),
                        null);
            }
            float[] output = new float[values.remaining()];
            values.get(output);
            return output;
        }

        @Override
        public Integer effectiveThreads() {
            return request.threads; // its pool has exactly this size
        }

        @Override
        public void close() {
            closeResult();
            input.close();
            try {
                session.close();
            } catch (OrtException error) {
                throw new IllegalStateException(error);
            }
        }

        private void closeResult() {
            if (result != null) {
                result.close();
                result = null;
            }
        }
    }
}
