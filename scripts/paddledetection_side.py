"""PaddleDetection's half of bench_detection.py; run by an interpreter that has what its infer.py imports.

Speaks lines: a directory of pictures in, one JSON document out (wall and CPU seconds, boxes by picture).
Uses nothing of edgekit. infer.py of release 2.6 and later needs `paddlepaddle imgaug pyyaml scipy numpy<2`.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkout", required=True, help="PaddleDetection, with deploy/python")
    parser.add_argument("--model", required=True, help="directory with model.pdmodel and infer_cfg.yml")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--draw", help="directory for drawings")
    options = parser.parse_args()
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever PaddleDetection prints must not come between
    sys.path.insert(0, str(Path(options.checkout, "deploy", "python")))
    import cv2
    import infer
    import paddle

    paddle.enable_static()
    cv2.setNumThreads(options.threads)
    detector = infer.DetectorPicoDet(
        options.model,
        cpu_threads=options.threads,
        enable_mkldnn=True,
        batch_size=options.batch_size,
        output_dir=options.draw or ".",
        threshold=0.5,
    )
    lines.write("ready\n")
    lines.flush()
    for directory in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        pictures = sorted(infer.get_test_images(directory.strip(), None))
        result = detector.predict_image(pictures, visual=bool(options.draw))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        boxes, start = {}, 0
        for picture, count in zip(pictures, result["boxes_num"].tolist()):  # noqa: B905
            own = result["boxes"][start : start + count]
            boxes[Path(picture).name] = own[own[:, 1] > 0.5].tolist() if count else []
            start += count
        lines.write(json.dumps({"wall_s": wall, "cpu_s": cpu, "boxes": boxes}) + "\n")
        lines.flush()


if __name__ == "__main__":
    main()
