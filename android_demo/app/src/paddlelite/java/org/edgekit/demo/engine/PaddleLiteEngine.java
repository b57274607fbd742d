package org.edgekit.demo.engine;

import com.baidu.paddle.lite.MobileConfig;
import com.baidu.paddle.lite.PaddlePredictor;
import com.baidu.paddle.lite.Tensor;
import java.io.File;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Paddle Lite's ARM kernels, over the Java API of its Android release. */
public final class PaddleLiteEngine implements Engine {
    // The library tells its version only through a loaded predictor.
    private static volatile String version = "unknown until a model is loaded";

    @Override
    public String name() {
        return "paddlelite";
    }

    @Override
    public String title() {
        return "Paddle Lite";
    }

    @Override
    public String version() {
        return version;
    }

    @Override
    public String format() {
        return "nb";
    }

    @Override
    public List<PowerMode> powerModes() {
        return Collections.unmodifiableList(Arrays.asList(PowerMode.values()));
    }

    @Override
    public Session open(File file, SessionRequest request) throws EngineException {
        MobileConfig config = new MobileConfig();
        config.setModelFromFile(file.getPath());
        config.setThreads(request.threads);
        config.setPowerMode(nativeMode(request.powerMode));
        PaddlePredictor predictor;
        try {
            predictor = PaddlePredictor.createPaddlePredictor(config);
        } catch (UnsatisfiedLinkError | ExceptionInInitializerError | NoClassDefFoundError error) {
            throw EngineException.failed(
                    "Paddle Lite's native library does not load on this device: " + error, error);
        }
        if (predictor == null) {
            throw EngineException.failed("Paddle Lite does not load the model", null);
        }
        version = predictor.getVersion();
        return new PaddleSession(predictor, request);
    }

    private static com.baidu.paddle.lite.PowerMode nativeMode(PowerMode mode) {
        return com.baidu.paddle.lite.PowerMode.valueOf("LITE_POWER_" + mode.name());
    }

    private static final class PaddleSession implements Session {
        private final SessionRequest request;
        private PaddlePredictor predictor;
        private Tensor input;

        PaddleSession(PaddlePredictor predictor, SessionRequest request) throws EngineException {
            this.predictor = predictor;
            this.request = request;
            input = predictor.getInput(0);
            long[] shape = new long[request.inputShape.length];
            for (int index = 0; index < shape.length; index++) {
                shape[index] = request.inputShape[index];
            }
            if (input == null || !input.resize(shape)) {
                throw EngineException.failed(
                        "The network does not take an input of " + Arrays.toString(shape), null);
            }
        }

        @Override
        public void setInput(float[] values) throws EngineException {
            if (!input.setData(values)) {
                throw EngineException.failed("Paddle Lite refused the input", null);
            }
        }

        @Override
        public void run() throws EngineException {
            if (!predictor.run()) {
                throw EngineException.failed("Paddle Lite failed to run the network", null);
            }
        }

        @Override
        public float[] output() throws EngineException {
            Tensor tensor = predictor.getOutput(0);
            float[] values = tensor == null ? null : tensor.getFloatData();
            if (values == null || values.length != request.outputLength()) {
                throw EngineException.failed(
                        "The network gave " + (values == null ? 0 : values.length)
                                + " values instead of " + request.outputLength(),
                        null);
            }
            return values;
        }

        @Override
        public Integer effectiveThreads() {
            return null; // the Java API does not tell; HIGH silently cuts to the number of big cores
        }

        @Override
        public void close() {
            // The Java API frees the native predictor in its finalizer only.
            input = null;
            predictor = null;
        }
    }
}
