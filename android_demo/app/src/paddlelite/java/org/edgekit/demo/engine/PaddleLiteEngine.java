package org.edgekit.demo.engine;

import com.baidu.paddle.lite.MobileConfig;
import com.baidu.paddle.lite.PaddlePredictor;
import com.baidu.paddle.lite.Tensor;
import java.io.File;
import java.util.ArrayList;
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
        private final List<Tensor> inputs = new ArrayList<>();
        private PaddlePredictor predictor;

        PaddleSession(PaddlePredictor predictor, SessionRequest request) throws EngineException {
            this.predictor = predictor;
            this.request = request;
            for (int index = 0; index < request.inputNames.size(); index++) {
                Tensor input = predictor.getInput(index);
                int[] shape = request.inputShapes.get(index);
                long[] wide = new long[shape.length];
                for (int place = 0; place < shape.length; place++) {
                    wide[place] = shape[place];
                }
                if (input == null || !input.resize(wide)) {
                    throw EngineException.failed(
                            "The network does not take an input of " + Arrays.toString(wide), null);
                }
                inputs.add(input);
            }
        }

        @Override
        public void setInput(int index, float[] values) throws EngineException {
            if (!inputs.get(index).setData(values)) {
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
        public Output output(int index) throws EngineException {
            Tensor tensor = predictor.getOutput(index);
            int[] wanted = request.outputShapes.get(index);
            long[] found = tensor == null ? new long[0] : tensor.shape();
            if (tensor == null || !SessionRequest.fits(found, wanted)) {
                throw EngineException.failed(
                        "The network gave " + Arrays.toString(found) + " instead of "
                                + Arrays.toString(wanted),
                        null);
            }
            int[] shape = new int[found.length];
            for (int place = 0; place < shape.length; place++) {
                shape[place] = (int) found[place];
            }
            switch (request.outputTypes.get(index)) {
                case "float32":
                    return Output.of(shape, tensor.getFloatData());
                case "int32":
                    return Output.of(shape, tensor.getIntData());
                case "int64":
                    long[] wide = tensor.getLongData();
                    int[] whole = new int[wide.length];
                    for (int place = 0; place < whole.length; place++) {
                        whole[place] = Math.toIntExact(wide[place]);
                    }
                    return Output.of(shape, whole);
                default:
                    throw EngineException.failed(
                            "Paddle Lite does not give out " + request.outputTypes.get(index), null);
            }
        }

        @Override
        public Integer effectiveThreads() {
            return null; // the Java API does not tell; HIGH silently cuts to the number of big cores
        }

        @Override
        public void close() {
            // The Java API frees the native predictor in its finalizer only.
            inputs.clear();
            predictor = null;
        }
    }
}
