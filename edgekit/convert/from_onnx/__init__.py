"""edgekit's own converter from ONNX to the legacy Paddle program that Paddle Inference and opt read.

`convert.convert_onnx` is the way in. The graph is walked once, in order: a value that is known while
converting is
folded, every other node is said in Paddle's operators by the function that `operators` has for its type. No
text of a model is ever run, and of its names only plain ones of inputs and outputs reach the program.
"""
