"""Directory prediction against the PaddleClas wheel, in pairs; the cold start; what the parts cost alone.

    .venv/bin/python scripts/bench_predict.py --paddleclas-python /path/to/venv/bin/python

The other interpreter needs `paddleclas==2.6.0 paddlepaddle==3.1.1` (Python 3.10); without it that half is
skipped, with a message. Both sides run the same exported PPLCNet_x1_0 (random weights) on the same JPEGs.
Sides take turns; ratios are the medians over rounds, with the best round beside them.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from sides import Side, judge, take_turns, tree_cpu_s

import edgekit

MODEL = "PPLCNet_x1_0"
TRAINED = "PPLCNet_x1_0_doc_ori"
# paddleclas 2.6.0, deploy/configs/inference_cls.yaml.
WHEEL_SCALE = 0.00392157
SIZE, PHOTO = (375, 500), (3000, 4000)
# What a first answer takes where one process imports the same packages and nothing is checked.
BARE = """
import sys, cv2, numpy, onnxruntime
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], settings, providers=["CPUExecutionProvider"])
picture = cv2.imread(sys.argv[2])
scale = 256 / min(picture.shape[:2])
picture = cv2.resize(picture, None, fx=scale, fy=scale)
top, left = (picture.shape[0] - 224) // 2, (picture.shape[1] - 224) // 2
picture = picture[top : top + 224, left : left + 224, ::-1] / 255
picture = ((picture - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).astype(numpy.float32)
scores = session.run(None, {session.get_inputs()[0].name: picture.transpose(2, 0, 1)[None]})[0]
print(scores.argmax(), scores.max())
"""
LIMITS = {
    "pictures a second, times PaddleClas's best": (2.2, "least"),
    "pictures a second, times PaddleClas's batch 1": (3.3, "least"),
    "CPU time a picture of PaddleClas, times ours": (1.5, "least"),
    "share of what the parts allow": (0.85, "least"),
    "12-megapixel photos a second, times PaddleClas": (3.0, "least"),
    "pictures with another Top-1": (0, "most"),
    "largest difference of a score": (1e-5 + 1e-9, "most"),
    "cold start, seconds (best of rounds)": (0.5, "most"),
}


def edgekit_side(model: str, engine: str, batch_size: int, workers: int, reduced_decode: bool) -> None:
    """Our half: the same lines as paddleclas_side.py; CPU time of this process and its workers."""
    from edgekit import EdgeKit

    with EdgeKit(
        model, engine=engine, batch_size=batch_size, workers=workers, reduced_decode=reduced_decode
    ) as kit:
        print("ready", flush=True)
        for line in sys.stdin:
            cpu, wall = tree_cpu_s(), time.perf_counter()
            answers = [answer for batch in kit.predict(line.strip()) for answer in batch]
            wall, cpu = time.perf_counter() - wall, tree_cpu_s() - cpu
            kept = {answer["filename"]: [answer["class_ids"], answer["scores"]] for answer in answers}
            print(json.dumps({"wall_s": wall, "cpu_s": cpu, "answers": kept}), flush=True)


def write_pictures(directory: Path, count: int, size: tuple[int, int], seed: int) -> None:
    """JPEGs as photos are: large shapes, texture, some noise; near the size, half of them upright."""
    directory.mkdir()
    for index in range(count):
        rng = np.random.default_rng(seed + index)
        height, width = (int(side * rng.uniform(0.9, 1.1)) for side in size)
        if index % 2:
            height, width = width, height
        layers = np.zeros((height, width, 3), np.float32)
        for cells, strength in ((4, 90), (16, 50), (64, 30)):
            coarse = rng.standard_normal((cells, cells, 3)).astype(np.float32)
            layers += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        layers += 6 * rng.standard_normal(layers.shape, dtype=np.float32) + 128
        picture = np.clip(layers, 0, 255).astype(np.uint8)
        assert cv2.imwrite(str(directory / f"{index:04d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])


def decoding_alone_s(model: Path, pictures: Path, rounds: int) -> float:
    """CPU seconds a picture of decoding with preprocessing: best of rounds."""
    from edgekit.convert.manifest import find_artifacts
    from edgekit.predict.feed import Feed
    from edgekit.vision.pictures import find_pictures

    _, manifest = find_artifacts(model)
    items = find_pictures([pictures])
    feed = Feed(manifest.preprocess, 8)
    decoding = []
    for _ in range(rounds):
        started = time.thread_time()
        for start in range(0, len(items), 8):
            feed.fill(items[start : start + 8])
        decoding.append((time.thread_time() - started) / len(items))
    return min(decoding)


def inference_s(model: Path, engine: str, rounds: int, cores: Sequence[int]) -> float:
    """CPU seconds a picture of inference as lanes do it, on every core at once: best of rounds."""
    from edgekit.convert.manifest import find_artifacts
    from edgekit.core.spec import Precision
    from edgekit.predict.lanes import AT_ONCE, plan_route
    from edgekit.runners.protocol import Run
    from edgekit.targets.target import HostTarget, Subject, load_request

    directory, manifest = find_artifacts(model)
    subject = Subject(directory=directory, manifest=manifest)
    target = HostTarget()
    artifact = plan_route(target, subject, engine, Precision.FP32).artifact
    request = Run(warmup=8, warmup_ns=0, repeats=60, min_ns=0)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(cores)) as pool:
        sessions = [stack.enter_context(target.session(engine, f"core {core}")) for core in cores]
        for session, core in zip(sessions, cores, strict=True):
            session.load(load_request(target, subject, artifact, batch_size=AT_ONCE, cores=(core,)))
        taken = []
        for _ in range(rounds):
            runs = list(pool.map(lambda session: session.run(request), sessions))
            taken.append(statistics.mean((run.cpu_ns or 0) / len(run.samples_ns) for run in runs))
    return min(taken) / 1e9 / AT_ONCE


def cold_starts_s(model: Path, picture: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Wall seconds for one picture, in turns: of the whole command, and of the bare script.

    Both run from bytecode, as an installed edgekit does, also where this environment writes none.
    """
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    compileall.compile_dir(str(Path(edgekit.__file__).parent), quiet=1)
    command = [sys.executable, "-m", "edgekit", "predict", str(model), str(picture)]
    bare = [sys.executable, "-c", BARE, str(model / "inference.onnx"), str(picture)]
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for words, seconds in zip((command, bare), taken, strict=True):
            started = time.perf_counter()
            subprocess.run(words, check=True, capture_output=True, timeout=60, env=environment)
            seconds.append(time.perf_counter() - started)
    return taken


def compare(ours: dict, theirs: dict) -> tuple[int, float]:
    """Pictures with another best class, and the largest difference of a score of the same class."""
    assert ours["answers"].keys() == theirs["answers"].keys(), "not the same pictures"
    others, largest = 0, 0.0
    for name, (classes, scores) in theirs["answers"].items():
        own_classes, own_scores = ours["answers"][name]
        others += classes[0] != own_classes[0]
        own = dict(zip(own_classes, own_scores, strict=True))
        for class_id, score in zip(classes, scores, strict=True):
            if class_id in own:
                largest = max(largest, abs(score - own[class_id]))
    return others, largest


def ratios(results: dict[str, list[dict]], ours: str, theirs: str, field: str) -> list[float]:
    """Theirs over ours, round by round."""
    return [b[field] / a[field] for a, b in zip(results[ours], results[theirs], strict=True)]


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, float]:
    model = scratch / "models" / MODEL
    for name, weights in ((MODEL, "random"), (TRAINED, "pretrained")):
        words = [sys.executable, "-m", "edgekit", "export", name, "--weights", weights]
        words += ["--formats", "paddle,onnx"]
        subprocess.run(words, check=True, cwd=scratch, capture_output=True, timeout=600)
    write_pictures(scratch / "pictures", options.pictures, SIZE, 0)
    write_pictures(scratch / "photos", options.photos, PHOTO, 10_000)
    own = [sys.executable, __file__, "--side", str(model), "--engine", options.engine]
    cores = sorted(os.sched_getaffinity(0))
    lanes = str(len(cores))
    sides = {
        "ours": Side([*own, "--batch-size", "8", "--workers", lanes]),
        "ours, one thread": Side([*own, "--batch-size", "8", "--workers", "1"]),
        "ours, reduced": Side([*own, "--batch-size", "8", "--workers", lanes, "--reduced-decode"]),
    }
    if options.paddleclas_python:
        half = paddleclas_words(options.paddleclas_python, model)
        sides["paddleclas b1 t1"] = Side([*half, "--batch-size", "1", "--threads", "1"])
        sides["paddleclas b8 t1"] = Side([*half, "--batch-size", "8", "--threads", "1"])
        sides["paddleclas b8 t2"] = Side([*half, "--batch-size", "8", "--threads", "2"])
    else:
        print("the PaddleClas half is skipped: no --paddleclas-python (nor $PADDLECLAS_PYTHON)")
    small = {name: side for name, side in sides.items() if name != "ours, reduced"}
    results = take_turns(small, scratch / "pictures", options.rounds)
    large_names = ("ours", "ours, reduced", "paddleclas b8 t2")
    large = {name: sides[name] for name in large_names if name in sides}
    photos = take_turns(large, scratch / "photos", max(2, options.rounds // 2))
    for side in sides.values():
        side.close()
    show("pictures of 375x500", results)
    show("photos of 3000x4000", photos)
    figures: dict[str, float] = {}
    if options.paddleclas_python:
        figures = figures_against_paddleclas(results, photos)
        figures.update(
            compare_answers(options.paddleclas_python, model.parent, scratch / "pictures", options.engine)
        )
    decode_s = decoding_alone_s(model, scratch / "pictures", options.rounds)
    infer_s = inference_s(model, options.engine, options.rounds, cores[:1])
    beside_s = inference_s(model, options.engine, options.rounds, cores)
    rate = max(len(run["answers"]) / run["wall_s"] for run in results["ours"])
    print(
        f"alone, CPU a picture: decode and preprocess {decode_s * 1e3:.2f} ms, infer {infer_s * 1e3:.2f} ms, "
        f"on {len(cores)} cores at once {beside_s * 1e3:.2f} ms: {beside_s / infer_s:.2f} times"
    )
    figures["share of what the parts allow"] = rate * (decode_s + infer_s) / len(cores)
    cold, bare = cold_starts_s(model, scratch / "pictures" / "0000.jpg", options.rounds + 2)
    over = statistics.median(ours / theirs for ours, theirs in zip(cold, bare, strict=True))
    print(
        f"cold start: median {statistics.median(cold):.3f} s, best {min(cold):.3f} s; a bare script with the "
        f"same packages {statistics.median(bare):.3f} s, best {min(bare):.3f} s: {over:.2f} times"
    )
    figures["cold start, seconds (best of rounds)"] = min(cold)
    changed, _ = compare(photos["ours, reduced"][0], photos["ours"][0])
    print(f"reduced decode: another Top-1 on {changed} of {options.photos} photos")
    return figures


def figures_against_paddleclas(
    results: dict[str, list[dict]], photos: dict[str, list[dict]]
) -> dict[str, float]:
    median = statistics.median
    others, largest = compare(results["ours"][0], results["paddleclas b8 t2"][0])
    print(f"random weights: another Top-1 on {others}, largest difference {largest:.1e}")
    best = ratios(results, "ours", "paddleclas b8 t2", "wall_s")
    first = ratios(results, "ours", "paddleclas b1 t1", "wall_s")
    cpu = ratios(results, "ours, one thread", "paddleclas b8 t1", "cpu_s")
    large = ratios(photos, "ours", "paddleclas b8 t2", "wall_s")
    for name, values in (("best", best), ("batch 1", first), ("CPU", cpu), ("photos", large)):
        print(f"rounds, {name}: " + " ".join(f"{value:.2f}" for value in values))
    return {
        "pictures a second, times PaddleClas's best": median(best),
        "pictures a second, times PaddleClas's batch 1": median(first),
        "CPU time a picture of PaddleClas, times ours": median(cpu),
        "12-megapixel photos a second, times PaddleClas": median(large),
    }


def paddleclas_words(python: str, model: Path) -> list[str]:
    """The command line of the other half."""
    return [python, str(Path(__file__).with_name("paddleclas_side.py")), "--model", str(model)]


def compare_answers(python: str, models: Path, pictures: Path, engine: str) -> dict[str, float]:
    """Compare both sides' answers: trained weights on the engine measured, random ones on PaddleClas's own.

    Random weights amplify the last bits in which engines differ, and that the wheel's configuration rounds
    the training configuration's 1/255: they are given its constant.
    """
    others, largest = 0, 0.0
    manifest = models / MODEL / "manifest.json"
    content = json.loads(manifest.read_bytes())
    content["preprocess"]["scale"] = WHEEL_SCALE
    manifest.write_text(json.dumps(content))
    for name, computing in ((TRAINED, engine), (MODEL, "paddle")):
        own = [sys.executable, __file__, "--side", str(models / name), "--engine", computing]
        ours = Side([*own, "--batch-size", "8"])
        theirs = Side([*paddleclas_words(python, models / name), "--batch-size", "8", "--threads", "2"])
        other, difference = compare(ours.predict(pictures), theirs.predict(pictures))
        print(f"{name} on {computing}: another Top-1 on {other}, largest difference {difference:.1e}")
        others, largest = others + other, max(largest, difference)
        ours.close()
        theirs.close()
    return {"pictures with another Top-1": others, "largest difference of a score": largest}


def show(title: str, results: dict[str, list[dict]]) -> None:
    """Pictures a second and CPU time of every side: median and best."""
    print(title)
    for name, runs in results.items():
        rates = [len(run["answers"]) / run["wall_s"] for run in runs]
        cpu = [1e3 * run["cpu_s"] / len(run["answers"]) for run in runs]
        print(
            f"  {name:<18} {statistics.median(rates):7.1f} a second (best {max(rates):7.1f}), "
            f"CPU {statistics.median(cpu):6.2f} ms a picture (best {min(cpu):6.2f})"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--paddleclas-python", default=os.environ.get("PADDLECLAS_PYTHON"))
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--engine", default="onnxruntime", help="of ours; default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=8, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--reduced-decode", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        edgekit_side(
            options.side, options.engine, options.batch_size, options.workers, options.reduced_decode
        )
        return 0
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as scratch:
        figures = measure(options, Path(scratch))
    return 0 if judge(figures, LIMITS) else 9


if __name__ == "__main__":
    sys.exit(main())
