"""Detection against PaddleDetection's own deploy/python/infer.py, in pairs; the share of post-processing.

    .venv/bin/python scripts/bench_detection.py models/NAME PADDLEDETECTION --python /path/to/bin/python

NAME is a PicoDet with the artifacts paddle and onnx, PADDLEDETECTION a checkout, and the other interpreter
has what its infer.py imports (scripts/paddledetection_side.py). Both sides find boxes in the same pages.
Sides take turns; ratios are medians over rounds, with every round beside them.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from sides import Side, judge, take_turns, tree_cpu_s

LIMITS = {
    "pages a second, times PaddleDetection's best": (2.0, "least"),
    "pages a second with drawings, times PaddleDetection's best": (2.0, "least"),
    "post-processing and drawing, share of a page's time": (0.15, "most"),
    "pages with other boxes": (0, "most"),
}
# Corners that round to neighbouring pixels are the same.
SAME_PIXEL = 1.0
# Sides that run Paddle read programs of its older form.
LEGACY = {"FLAGS_enable_pir_api": "0"}


def edgekit_side(model: str, engine: str, workers: int, draw: str | None) -> None:
    """Our half: the same lines as paddledetection_side.py."""
    from edgekit.convert.manifest import find_artifacts
    from edgekit.predict.predict import Predictor, Settings
    from edgekit.targets.target import HostTarget, Subject
    from edgekit.vision.pictures import find_pictures

    directory, manifest = find_artifacts(model)
    subject = Subject(directory=directory, manifest=manifest)
    settings = Settings(engine=engine, workers=workers, draw=None if draw is None else Path(draw))
    with Predictor(HostTarget(huge_pages=True), subject, settings) as predictor:
        print("ready", flush=True)
        for line in sys.stdin:
            cpu, wall = tree_cpu_s(), time.perf_counter()
            batches = predictor.predict(find_pictures([line.strip()]))
            answers = [answer.as_dict() for batch in batches for answer in batch.predictions]
            wall, cpu = time.perf_counter() - wall, tree_cpu_s() - cpu
            boxes = {
                Path(each["filename"]).name: [
                    [class_id, score, *corners]
                    for class_id, score, corners in zip(
                        each["class_ids"], each["scores"], each["boxes"], strict=True
                    )
                ]
                for each in answers
            }
            print(json.dumps({"wall_s": wall, "cpu_s": cpu, "boxes": boxes}), flush=True)


def draw_page(size: tuple[int, int], seed: int) -> np.ndarray:
    """A page, uint8[H,W,3], with a title, columns of text, a table and a figure."""
    random = np.random.default_rng(seed)
    height, width = size
    page = np.full((height, width, 3), 255, np.uint8)
    letters = list("abcdefghijklmnopqrst")
    scale = width / 2600

    def line(x: int, y: int, room: int) -> None:
        words = " ".join("".join(random.choice(letters, random.integers(2, 9))) for _ in range(16))
        while cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0] > room:
            words = words[:-1]
        cv2.putText(page, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)

    cv2.putText(
        page, "On the layout", (width // 5, height // 14), cv2.FONT_HERSHEY_DUPLEX, width / 700, (0,) * 3, 2
    )
    for x in (width // 12, width // 2 + width // 30):
        y = height // 8
        while y < height * 0.88:
            kind = random.integers(0, 4)
            if kind == 0:
                corner = (int(x + width * 0.38), y + height // 8)
                cv2.rectangle(page, (x, y), corner, random.integers(40, 220, 3).tolist(), -1)
                y = corner[1] + height // 30
            elif kind == 1:
                for row in range(6):
                    cv2.line(page, (x, y), (int(x + width * 0.38), y), (0, 0, 0), 1)
                    for column in range(4 if row < 5 else 0):
                        number = (x + 8 + column * width // 11, y + height // 70)
                        cv2.putText(page, f"{random.random():.2f}", number, cv2.FONT_HERSHEY_SIMPLEX, scale,
                                    (0, 0, 0), 1, cv2.LINE_AA)  # fmt: skip
                    y += height // 50
                y += height // 40
            else:
                for _ in range(random.integers(4, 14)):
                    line(x, y, int(width * 0.38))
                    y += height // 70
                y += height // 40
    return page


def write_pages(directory: Path, count: int) -> None:
    directory.mkdir()
    for index in range(count):
        size = ((1100, 850), (1654, 1169), (800, 608))[index % 3]
        assert cv2.imwrite(str(directory / f"{index:04d}.jpg"), draw_page(size, index))


def write_their_model(model: Path, directory: Path) -> None:
    """Write the program under PaddleDetection's names, with a configuration made from the manifest."""
    manifest = json.loads((model / "manifest.json").read_text())
    rule, preprocess = manifest["postprocess"], manifest["preprocess"]
    directory.mkdir()
    for ours, theirs in (("inference.pdmodel", "model.pdmodel"), ("inference.pdiparams", "model.pdiparams")):
        shutil.copy(model / ours, directory / theirs)
    (resize,) = preprocess["steps"]
    flags = ("nearest", "bilinear", "bicubic", "area", "lanczos")
    labels = (model / manifest["labels"]).read_text().splitlines()
    document = {
        "arch": "PicoDet",
        "min_subgraph_size": 3,
        "use_dynamic_shape": False,
        "draw_threshold": rule["answer_threshold"],
        "Preprocess": [
            {
                "type": "Resize",
                "target_size": resize["size"],
                "keep_ratio": False,
                "interp": flags.index(resize["interpolation"]),
            },
            {
                "type": "NormalizeImage",
                "mean": preprocess["mean"],
                "std": preprocess["std"],
                "is_scale": True,
            },
            {"type": "Permute"},
        ],
        "label_list": labels,
        "NMS": {"nms_threshold": rule["nms_threshold"]},
        "fpn_stride": rule["strides"],
    }
    (directory / "infer_cfg.yml").write_text(json.dumps(document))  # JSON is YAML


def other_boxes(ours: dict, theirs: dict) -> int:
    """Pages whose boxes differ in number, class or place."""
    assert ours["boxes"].keys() == theirs["boxes"].keys(), "not the same pages"
    other = 0
    for name, wanted in theirs["boxes"].items():
        own, wanted = (
            sorted(each, key=lambda row: (row[0], -row[1])) for each in (ours["boxes"][name], wanted)
        )
        same = [row[0] for row in own] == [row[0] for row in wanted] and all(
            abs(a - b) <= SAME_PIXEL
            for one, two in zip(own, wanted, strict=True)
            for a, b in zip(one[2:], two[2:], strict=True)
        )
        other += not same
    return other


def share_of_postprocessing(model: Path, pages: Path, engine: str) -> float:
    """Time of post-processing and drawing over the whole time of a page on one core: median over pages."""
    from edgekit.convert.manifest import find_artifacts
    from edgekit.core.spec import Precision
    from edgekit.predict.lanes import open_lanes, plan_route
    from edgekit.targets.target import HostTarget, Subject
    from edgekit.tasks.registry import task_of
    from edgekit.tasks.task import Asked
    from edgekit.vision.labels import read_own_labels
    from edgekit.vision.pictures import Picture, find_pictures, read_picture

    directory, manifest = find_artifacts(model)
    subject = Subject(directory=directory, manifest=manifest)
    task = task_of(manifest, read_own_labels(directory / "labels.txt", manifest.num_classes))
    route = plan_route(HostTarget(), subject, engine, Precision.FP32)
    shares = []
    with open_lanes(subject, [route], workers=1, threads=1, batch_size=1) as (lane,):
        for item in find_pictures([pages]):
            started = time.perf_counter()
            scored = lane.score([item])
            computed = time.perf_counter()
            (answer,) = task.answers(scored.outputs[0], scored.pictures, Asked())
            answered = time.perf_counter()
            assert isinstance(item, Picture)
            pixels = read_picture(item)
            drawing = time.perf_counter()
            task.draw(pixels, answer)
            done = time.perf_counter() - drawing + answered - computed
            shares.append(done / (computed - started + done))
    return statistics.median(shares)


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, float]:
    pages = scratch / "pages"
    write_pages(pages, options.pages)
    write_their_model(options.model, scratch / "theirs")
    cores = len(os.sched_getaffinity(0))
    ours = [sys.executable, __file__, str(options.model), "-", "--side", "--engine", options.engine]
    half = Path(__file__).with_name("paddledetection_side.py")
    theirs = [options.python, str(half), "--checkout", str(options.paddledetection)]
    theirs += ["--model", str(scratch / "theirs"), "--batch-size", "1"]
    side = functools.partial(Side, env=LEGACY)
    sides = {
        "ours": side([*ours, "--workers", str(cores)]),
        "ours, drawing": side([*ours, "--workers", str(cores), "--draw", str(scratch / "drawn")]),
    }
    for threads in sorted({1, cores}):
        words = [*theirs, "--threads", str(threads)]
        sides[f"theirs, {threads} threads"] = side(words)
        sides[f"theirs, {threads} threads, drawing"] = side([*words, "--draw", str(scratch / "drawn_too")])
    runs = take_turns(sides, pages, options.rounds)
    for each in sides.values():
        each.close()
    figures = {}
    for drawing, kind in (("", "pages a second"), (", drawing", "pages a second with drawings")):
        names = [name for name in runs if name.startswith("theirs") and ("drawing" in name) == bool(drawing)]
        for name in (f"ours{drawing}", *names):
            rates = [options.pages / run["wall_s"] for run in runs[name]]
            cpu = statistics.median(1e3 * run["cpu_s"] / options.pages for run in runs[name])
            print(
                f"  {name:<28} {statistics.median(rates):6.2f} a second (best {max(rates):6.2f}), "
                f"CPU {cpu:.0f} ms a page"
            )
        ratios = [
            min(runs[name][number]["wall_s"] for name in names) / run["wall_s"]
            for number, run in enumerate(runs[f"ours{drawing}"])
        ]
        print(f"  rounds: {' '.join(f'{ratio:.2f}' for ratio in ratios)}")
        cpus = [
            min(runs[name][number]["cpu_s"] for name in names) / run["cpu_s"]
            for number, run in enumerate(runs[f"ours{drawing}"])
        ]
        print(f"  CPU time of PaddleDetection, times ours: {' '.join(f'{ratio:.2f}' for ratio in cpus)}")
        figures[f"{kind}, times PaddleDetection's best"] = statistics.median(ratios)
    figures["post-processing and drawing, share of a page's time"] = share_of_postprocessing(
        options.model, pages, options.engine
    )
    figures["pages with other boxes"] = other_boxes(runs["ours"][0], runs[f"theirs, {cores} threads"][0])
    print(f"boxes: {sum(map(len, runs['ours'][0]['boxes'].values()))} in {options.pages} pages")
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", type=Path, help="artifact directory of a PicoDet")
    parser.add_argument("paddledetection", nargs="?", type=Path, help="checkout of PaddleDetection")
    parser.add_argument("--python", default=sys.executable, help="interpreter for the other half")
    parser.add_argument("--pages", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", default="onnxruntime", help="of ours; default: %(default)s")
    parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--draw", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        edgekit_side(str(options.model), options.engine, options.workers, options.draw)
        return 0
    if options.paddledetection is None:
        parser.error("it needs an artifact directory and a checkout of PaddleDetection")
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as scratch:
        figures = measure(options, Path(scratch))
    return 0 if judge(figures, LIMITS) else 9


if __name__ == "__main__":
    sys.exit(main())
