"""The PaddleClas wheel's half of bench_predict.py; run by an interpreter that has it.

Speaks lines: a directory of pictures in, one JSON document out (wall and CPU seconds, answers). Uses
nothing of edgekit. PaddleClas 2.6.0 with paddlepaddle 3.1.1 on Python 3.10 needs FLAGS_enable_pir_api=0.
"""

import argparse
import json
import os
import sys
import time

os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112 (Paddle reads it so)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="directory with inference.pdmodel and .pdiparams")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever PaddleClas prints must not come between
    import cv2
    from paddleclas import PaddleClas

    cv2.setNumThreads(options.threads)
    model = PaddleClas(
        inference_model_dir=options.model,
        use_gpu=False,
        enable_mkldnn=True,
        cpu_num_threads=options.threads,
        batch_size=options.batch_size,
        topk=5,
    )
    lines.write("ready\n")
    lines.flush()
    for directory in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        answers = [answer for batch in model.predict(directory.strip()) for answer in batch]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        kept = {answer["filename"]: [answer["class_ids"], answer["scores"]] for answer in answers}
        lines.write(json.dumps({"wall_s": wall, "cpu_s": cpu, "answers": kept}, default=int) + "\n")
        lines.flush()


if __name__ == "__main__":
    main()
