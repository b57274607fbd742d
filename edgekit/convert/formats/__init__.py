"""The file formats: Paddle program, ONNX, Paddle Lite .nb."""
