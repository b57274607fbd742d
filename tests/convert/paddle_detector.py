"""Write a legacy Paddle program that finds cells of colour, as PaddleDetection exports detectors with NMS.

Run as a program with the path of the files without their suffix: Paddle writes legacy programs only where its
new representation is off from the beginning.
"""

import os
import sys

os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112 (Paddle reads it so)

import numpy as np
import paddle
from paddle.base.layer_helper import LayerHelper

HEIGHT, WIDTH, STRIDE = 64, 96, 16


def by_sides(sizes: paddle.Tensor) -> paddle.Tensor:
    """[N,2] of height and width as [N,1,4] of width, height, width, height."""
    height, width = sizes[:, 0:1], sizes[:, 1:2]
    return paddle.unsqueeze(paddle.concat([width, height, width, height], axis=1), 1)


def main(prefix: str) -> None:
    paddle.enable_static()
    im_shape = paddle.static.data("im_shape", [None, 2], "float32")
    image = paddle.static.data("image", [None, 3, HEIGHT, WIDTH], "float32")
    scale = paddle.static.data("scale_factor", [None, 2], "float32")
    colours = paddle.reshape(paddle.nn.functional.avg_pool2d(image, STRIDE, STRIDE), [0, 3, -1])
    other = paddle.sum(colours, axis=1, keepdim=True)
    scores = paddle.nn.functional.sigmoid(60 * colours - 30 * other - 15)
    rows, columns = np.mgrid[0 : HEIGHT // STRIDE, 0 : WIDTH // STRIDE]
    cells = STRIDE * np.stack([columns, rows, columns + 1, rows + 1], axis=-1).reshape(1, -1, 4)
    boxes = paddle.static.create_parameter(
        list(cells.shape),
        "float32",
        default_initializer=paddle.nn.initializer.Assign(cells.astype(np.float32)),
    )
    boxes = paddle.minimum(boxes / by_sides(scale), by_sides(paddle.floor(im_shape / scale + 0.5)))
    helper = LayerHelper("multiclass_nms3")
    found = helper.create_variable_for_type_inference("float32")
    counts = helper.create_variable_for_type_inference("int32")
    index = helper.create_variable_for_type_inference("int32")
    helper.append_op(
        type="multiclass_nms3",
        inputs={"BBoxes": boxes, "Scores": scores},
        attrs={
            "background_label": -1, "score_threshold": 0.025, "nms_top_k": 1000, "nms_threshold": 0.6,
            "keep_top_k": 100, "nms_eta": 1.0, "normalized": True,
        },
        outputs={"Out": found, "Index": index, "NmsRoisNum": counts},
    )  # fmt: skip
    executor = paddle.static.Executor(paddle.CPUPlace())
    executor.run(paddle.static.default_startup_program())
    paddle.static.save_inference_model(prefix, [im_shape, image, scale], [found, counts], executor)


if __name__ == "__main__":
    main(sys.argv[1])
