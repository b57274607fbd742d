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
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
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
                check("input", session.getInputInfo(), request.inputNames, request.inputShapes);
                check("output", session.getOutputInfo(), request.outputNames, request.outputShapes);
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

    private static void check(
            String what, Map<String, NodeInfo> nodes, List<String> names, List<int[]> shapes)
            throws EngineException {
        for (int index = 0; index < names.size(); index++) {
            check(what, nodes, names.get(index), shapes.get(index));
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
        if (!SessionRequest.fits(found, shape)) {
            throw EngineException.failed(
                    "The network's " + what + " is " + Arrays.toString(found)
                            + ", model.json says " + Arrays.toString(shape),
                    null);
        }
    }

    private static final class OnnxSession implements Session {
        private final OrtSession session;
        private final SessionRequest request;
        private final List<FloatBuffer> buffers = new ArrayList<>();
        private final Map<String, OnnxTensor> inputs = new LinkedHashMap<>();
        private OrtSession.Result result;

        OnnxSession(OrtEnvironment environment, OrtSession session, SessionRequest request)
                throws OrtException {
            this.session = session;
            this.request = request;
            for (int index = 0; index < request.inputNames.size(); index++) {
                int[] shape = request.inputShapes.get(index);
                FloatBuffer buffer =
                        ByteBuffer.allocateDirect(SessionRequest.length(shape) * Float.BYTES)
                                .order(ByteOrder.nativeOrder())
                                .asFloatBuffer();
                long[] wide = new long[shape.length];
                for (int place = 0; place < shape.length; place++) {
                    wide[place] = shape[place];
                }
                buffers.add(buffer);
                // The tensor is a view of the buffer: filling the buffer is all that an input costs.
                inputs.put(
                        request.inputNames.get(index),
                        OnnxTensor.createTensor(environment, buffer, wide));
            }
        }

        @Override
        public void setInput(int index, float[] values) {
            FloatBuffer buffer = buffers.get(index);
            buffer.clear();
            buffer.put(values);
            buffer.rewind();
        }

        @Override
        public void run() throws EngineException {
            closeResult();
            try {
                result = session.run(inputs);
            } catch (OrtException error) {
                throw EngineException.failed("ONNX Runtime failed: " + error.getMessage(), error);
            }
        }

        @Override
        public Output output(int index) throws EngineException {
            OnnxTensor tensor = (OnnxTensor) result.get(request.outputNames.get(index)).get();
            long[] found = tensor.getInfo().getShape();
            if (!SessionRequest.fits(found, request.outputShapes.get(index))) {
                throw EngineException.failed(
                        "The network gave " + Arrays.toString(found) + " instead of "
                                + Arrays.toString(request.outputShapes.get(index)),
                        null);
            }
            int[] shape = new int[found.length];
            for (int place = 0; place < shape.length; place++) {
                shape[place] = (int) found[place];
            }
            return read(tensor, shape);
        }

        private static Output read(OnnxTensor tensor, int[] shape) throws EngineException {
            switch (tensor.getInfo().type) {
                case FLOAT:
                    float[] floats = new float[SessionRequest.length(shape)];
                    tensor.getFloatBuffer().get(floats);
                    return Output.of(shape, floats);
                case INT32:
                    int[] whole = new int[SessionRequest.length(shape)];
                    tensor.getIntBuffer().get(whole);
                    return Output.of(shape, whole);
                case INT64:
                    return Output.of(shape, narrowed(tensor.getLongBuffer()));
                case UINT8:
                    return Output.of(shape, unsigned(tensor.getByteBuffer()));
                default:
                    throw EngineException.failed(
                            "The network's output is " + tensor.getInfo().type
                                    + "; this app reads float32, int32, int64 and uint8",
                            null);
            }
        }

        private static int[] narrowed(LongBuffer values) throws EngineException {
            int[] whole = new int[values.remaining()];
            for (int index = 0; index < whole.length; index++) {
                long value = values.get(index);
                if (value != (int) value) {
                    throw EngineException.failed("The network's output has the number " + value, null);
                }
                whole[index] = (int) value;
            }
            return whole;
        }

        private static int[] unsigned(ByteBuffer values) {
            int[] whole = new int[values.remaining()];
            for (int index = 0; index < whole.length; index++) {
                whole[index] = values.get(index) & 0xff;
            }
            return whole;
        }

        @Override
        public Integer effectiveThreads() {
            return request.threads; // its pool has exactly this size
        }

        @Override
        public void close() {
            closeResult();
            for (OnnxTensor input : inputs.values()) {
                input.close();
            }
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
