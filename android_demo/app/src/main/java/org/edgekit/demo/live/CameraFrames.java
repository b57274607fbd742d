package org.edgekit.demo.live;

import android.annotation.SuppressLint;
import android.content.Context;
import android.graphics.ImageFormat;
import android.graphics.SurfaceTexture;
import android.hardware.camera2.CameraAccessException;
import android.hardware.camera2.CameraCaptureSession;
import android.hardware.camera2.CameraCharacteristics;
import android.hardware.camera2.CameraDevice;
import android.hardware.camera2.CameraManager;
import android.hardware.camera2.CameraMetadata;
import android.hardware.camera2.CaptureRequest;
import android.hardware.camera2.params.StreamConfigurationMap;
import android.media.Image;
import android.media.ImageReader;
import android.os.Handler;
import android.os.HandlerThread;
import android.util.Size;
import android.view.Surface;
import android.view.TextureView;
import java.util.Arrays;
import org.edgekit.demo.R;
import org.edgekit.demo.vision.RgbImage;

/**
 * The camera by Camera2: one stream for the screen, one of small pictures to answer. Of the latter the queue
 * holds two, of which only the newest is read. Needs the permission.
 */
public final class CameraFrames implements FrameSource {
    private static final int QUEUE = 2;

    private final Context context;
    private final int screen;
    private final YuvPicture converter = new YuvPicture();

    // Guards what the camera's thread, the worker and the main thread share.
    private final Object lock = new Object();
    private Listener listener;
    private TextureView preview;
    private HandlerThread thread;
    private Handler handler;
    private CameraDevice camera;
    private ImageReader reader;
    private Size size;
    private int turn;

    /**
     * @param screen degrees by which the screen is turned from the device's natural position
     */
    public CameraFrames(Context context, int screen) {
        this.context = context.getApplicationContext();
        this.screen = screen;
    }

    @Override
    public void start(TextureView view, Listener newListener) {
        synchronized (lock) {
            listener = newListener;
            preview = view;
            thread = new HandlerThread("edgekit-camera");
            thread.start();
            handler = new Handler(thread.getLooper());
        }
        view.setSurfaceTextureListener(surfaceListener);
        if (view.isAvailable()) {
            open();
        }
    }

    @Override
    public RgbImage take(RgbImage reused) {
        synchronized (lock) {
            Image image = reader == null ? null : reader.acquireLatestImage();
            if (image == null) {
                return null;
            }
            try {
                Image.Plane[] planes = image.getPlanes();
                return converter.toRgb(
                        image.getWidth(), image.getHeight(),
                        plane(planes[0]), plane(planes[1]), plane(planes[2]), turn, reused);
            } finally {
                image.close();
            }
        }
    }

    private static YuvPicture.Plane plane(Image.Plane plane) {
        return new YuvPicture.Plane(
                plane.getBuffer(), plane.getRowStride(), plane.getPixelStride());
    }

    @Override
    public void stop() {
        synchronized (lock) {
            if (preview != null) {
                preview.setSurfaceTextureListener(null);
            }
            if (camera != null) {
                camera.close();
            }
            if (reader != null) {
                reader.close();
            }
            if (thread != null) {
                thread.quitSafely();
            }
            camera = null;
            reader = null;
            thread = null;
            preview = null;
            listener = null;
        }
    }

    @SuppressLint("MissingPermission") // the screen has asked for it
    private void open() {
        CameraManager cameras = (CameraManager) context.getSystemService(Context.CAMERA_SERVICE);
        try {
            String chosen = choose(cameras);
            if (chosen == null) {
                fail(context.getString(R.string.no_camera_device));
                return;
            }
            CameraCharacteristics traits = cameras.getCameraCharacteristics(chosen);
            StreamConfigurationMap streams =
                    traits.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP);
            size = streams == null
                    ? null
                    : Preview.choose(
                            streams.getOutputSizes(ImageFormat.YUV_420_888),
                            streams.getOutputSizes(SurfaceTexture.class));
            if (size == null) {
                fail(context.getString(R.string.no_camera_device));
                return;
            }
            Integer sensor = traits.get(CameraCharacteristics.SENSOR_ORIENTATION);
            turn = Preview.turn(sensor == null ? 0 : sensor, screen, isFront(traits));
            shape();
            cameras.openCamera(chosen, deviceListener, handler);
        } catch (CameraAccessException | IllegalArgumentException | SecurityException error) {
            fail(context.getString(R.string.camera_failed, String.valueOf(error.getMessage())));
        }
    }

    /** Returns the first camera that looks away from the user, else the first; null for none. */
    private static String choose(CameraManager cameras) throws CameraAccessException {
        String[] all = cameras.getCameraIdList();
        for (String camera : all) {
            Integer facing =
                    cameras.getCameraCharacteristics(camera).get(CameraCharacteristics.LENS_FACING);
            if (facing != null && facing == CameraMetadata.LENS_FACING_BACK) {
                return camera;
            }
        }
        return all.length == 0 ? null : all[0];
    }

    private static boolean isFront(CameraCharacteristics traits) {
        Integer facing = traits.get(CameraCharacteristics.LENS_FACING);
        return facing != null && facing == CameraMetadata.LENS_FACING_FRONT;
    }

    private void shape() {
        boolean isSideways = turn % 180 != 0;
        preview.setTransform(
                Preview.fit(
                        preview.getWidth(),
                        preview.getHeight(),
                        isSideways ? size.getHeight() : size.getWidth(),
                        isSideways ? size.getWidth() : size.getHeight(),
                        screen));
    }

    @SuppressWarnings("deprecation") // its successor needs Android 9
    private void show(CameraDevice opened) throws CameraAccessException {
        synchronized (lock) {
            SurfaceTexture texture = preview == null ? null : preview.getSurfaceTexture();
            if (texture == null) {
                opened.close(); // the screen has gone meanwhile
                return;
            }
            camera = opened;
            texture.setDefaultBufferSize(size.getWidth(), size.getHeight());
            reader =
                    ImageReader.newInstance(
                            size.getWidth(), size.getHeight(), ImageFormat.YUV_420_888, QUEUE);
            reader.setOnImageAvailableListener(source -> announce(), handler);
            Surface shown = new Surface(texture);
            CaptureRequest.Builder request =
                    opened.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW);
            request.addTarget(shown);
            request.addTarget(reader.getSurface());
            opened.createCaptureSession(
                    Arrays.asList(shown, reader.getSurface()),
                    sessionListener(request.build()), handler);
        }
    }

    private void announce() {
        Listener told = listener();
        if (told != null) {
            told.onFrame();
        }
    }

    private void fail(String message) {
        Listener told = listener();
        if (told != null) {
            told.onFailure(message);
        }
    }

    private Listener listener() {
        synchronized (lock) {
            return listener;
        }
    }

    private final TextureView.SurfaceTextureListener surfaceListener =
            new TextureView.SurfaceTextureListener() {
                @Override
                public void onSurfaceTextureAvailable(SurfaceTexture texture, int width, int height) {
                    open();
                }

                @Override
                public void onSurfaceTextureSizeChanged(SurfaceTexture texture, int width, int height) {
                    if (size != null) {
                        shape();
                    }
                }

                @Override
                public boolean onSurfaceTextureDestroyed(SurfaceTexture texture) {
                    return true;
                }

                @Override
                public void onSurfaceTextureUpdated(SurfaceTexture texture) {}
            };

    private final CameraDevice.StateCallback deviceListener =
            new CameraDevice.StateCallback() {
                @Override
                public void onOpened(CameraDevice opened) {
                    try {
                        show(opened);
                    } catch (CameraAccessException | IllegalStateException error) {
                        opened.close();
                        fail(context.getString(R.string.camera_failed, String.valueOf(error.getMessage())));
                    }
                }

                @Override
                public void onDisconnected(CameraDevice opened) {
                    opened.close();
                    fail(context.getString(R.string.camera_taken));
                }

                @Override
                public void onError(CameraDevice opened, int error) {
                    opened.close();
                    fail(context.getString(R.string.camera_failed, Integer.toString(error)));
                }
            };

    private CameraCaptureSession.StateCallback sessionListener(CaptureRequest request) {
        return new CameraCaptureSession.StateCallback() {
            @Override
            public void onConfigured(CameraCaptureSession session) {
                try {
                    session.setRepeatingRequest(request, null, handler);
                } catch (CameraAccessException | IllegalStateException error) {
                    fail(context.getString(R.string.camera_failed, String.valueOf(error.getMessage())));
                }
            }

            @Override
            public void onConfigureFailed(CameraCaptureSession session) {
                fail(context.getString(R.string.camera_failed, size.toString()));
            }
        };
    }
}
