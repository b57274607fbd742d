"""Damage to files of every kind that edgekit reads, and what edgekit makes of it.

Each attempt is a real command in a process of its own, so that a hang or a crash of native code counts.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DOCUMENTED = {0, 2, 3, 4, 5, 6, 7, 8, 9}
TIMEOUT_S = 120.0
RESULT = """{"schema_version": 1, "run_id": "x", "started_at": "2026-01-01T00:00:00", "ended_at": null,
"edgekit_version": "0.1.0", "command": [], "target": {"serial": "host", "state": "device",
"transport": "local"}, "points": []}"""
# Its model is absent: a damaged number may rightly ask for a measurement of years.
CONFIG = 'models = ["absent"]\nhost = true\nengine = ["onnxruntime"]\nrepeats = 2\nprocesses = 1\n'
YML = """PreProcess:
  transform_ops:
  - ResizeImage: {resize_short: 40}
  - CropImage: {size: 32}
  - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
PostProcess: {Topk: {topk: 5, label_list: [ant, bee, cow, dog, eel]}}
"""


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name among the seeds, and the command that reads it (paths relative to a copy)."""

    name: str
    file: str
    command: tuple[str, ...]
    weight: int = 1


QUICK = ("--no-verify", "--no-install", "--formats", "paddle")
KINDS = (
    Kind("manifest", "models/net/manifest.json", ("models", "show", "net"), 6),
    Kind("labels", "labels.txt", ("import", "net.onnx", "--name", "x", "--labels", "labels.txt", *QUICK)),
    Kind("yml", "net.yml", ("import", "net.onnx", "--name", "x", "--preprocess", "net.yml", *QUICK), 2),
    Kind("config", "bench.toml", ("bench", "--config", "bench.toml", "--no-install"), 3),
    Kind("result", "result.json", ("report", "result.json"), 6),
    Kind("card", "models/card.toml", ("models", "list"), 3),
    Kind("pdparams", "net.pdparams", ("export", "PPLCNet_x0_25", "--weights", "net.pdparams", *QUICK), 2),
    Kind("onnx", "net.onnx", ("import", "net.onnx", "--name", "x", *QUICK), 2),
    Kind("pdmodel", "legacy/inference.pdmodel", ("import", "legacy", "--name", "x", *QUICK), 2),
    Kind("pdiparams", "legacy/inference.pdiparams", ("import", "legacy", "--name", "x", *QUICK), 2),
    Kind("pir", "pir/inference.json", ("import", "pir", "--name", "x", *QUICK), 2),
    Kind("tar", "net_infer.tar", ("import", "net_infer.tar", "--name", "x", *QUICK), 2),
    Kind("nb", "models/net/inference.arm.nb", ("verify", "net", "--no-install"), 1),
)


def flip_bits(data: bytearray, source: random.Random) -> bytearray:
    for _ in range(source.choice((1, 1, 4, 32))):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    return data


def truncate(data: bytearray, source: random.Random) -> bytearray:
    return data[: source.randrange(len(data))]


def overwrite(data: bytearray, source: random.Random) -> bytearray:
    start = source.randrange(len(data))
    length = min(source.randrange(1, 200), len(data) - start)
    data[start : start + length] = source.choice((bytes(length), b"\xff" * length, source.randbytes(length)))
    return data


def repeat(data: bytearray, source: random.Random) -> bytearray:
    start = source.randrange(len(data))
    piece = data[start : start + source.randrange(1, 500)]
    return data[:start] + piece * source.randrange(1, 20) + data[start:]


def delete(data: bytearray, source: random.Random) -> bytearray:
    start = source.randrange(len(data))
    return data[:start] + data[start + source.randrange(1, 100) :]


def change_number(data: bytearray, source: random.Random) -> bytearray:
    """Digits of texts, where whole values matter more than bits."""
    digits = [index for index, byte in enumerate(data) if 48 <= byte <= 57]
    if not digits:
        return flip_bits(data, source)
    values = (b"-1", b"0", b"99999999999999999999", b"1e999", b"null", b'"x"', b"[]")
    start = source.choice(digits)
    return data[:start] + source.choice(values) + data[start + 1 :]


DAMAGES: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    flip_bits, truncate, overwrite, repeat, delete, change_number,
)  # fmt: skip


def attempt(seeds: Path, kind: Kind, seed: int, scratch: Path) -> str | None:
    """Damage one file and run its command; what was wrong with that, or None where all was well."""
    source = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=scratch) as name:
        place, temporary = Path(name) / "work", Path(name) / "tmp"
        temporary.mkdir()
        shutil.copytree(seeds, place)
        damage = source.choice(DAMAGES)
        path = place / kind.file
        path.write_bytes(bytes(damage(bytearray(path.read_bytes()), source)))
        before = set(place.rglob("*"))
        what = f"{kind.name} seed {seed} ({damage.__name__})"
        environment = {**os.environ, "NO_COLOR": "1", "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "edgekit", *kind.command],
                cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors="replace", timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"{what}: no end after {TIMEOUT_S:g} s"
        if done.returncode not in DOCUMENTED:
            return f"{what}: exit code {done.returncode}: {done.stderr[-400:]}"
        if "Traceback" in done.stderr:
            return f"{what}: a traceback: {done.stderr[-800:]}"
        if done.returncode and "error:" not in done.stderr:
            return f"{what}: exit code {done.returncode} without a message: {done.stderr[-300:]}"
        # ONNX Runtime 1.32 keeps a session number there, whoever uses it.
        left = [each for each in temporary.iterdir() if each.name != ".ses"]
        if done.returncode:
            results = place / "results"
            left += [each for each in set(place.rglob("*")) - before if results not in (each, *each.parents)
                     and not each.name.endswith((".lock", ".owner"))]  # fmt: skip
        return f"{what}: left {[str(each) for each in left]}" if left else None


def make_seeds(place: Path, exported: Path, weights: bytes, pir: Path) -> None:
    """One good file of every kind, small where that is possible."""
    from tests.convert.onnx_models import classifier

    place.mkdir(parents=True)
    classifier(place / "net.onnx", opset=13)
    (place / "labels.txt").write_text("ant\nbee\ncow\ndog\neel\n")
    (place / "net.yml").write_text(YML)
    (place / "bench.toml").write_text(CONFIG)
    (place / "result.json").write_text(RESULT)
    (place / "net.pdparams").write_bytes(weights)
    shutil.copytree(exported, place / "models" / "net")
    card = Path(__file__).parents[2] / "models" / "PPLCNet_x0_25.toml"
    (place / "models" / "card.toml").write_text(card.read_text().replace("PPLCNet_x0_25", "card"))
    shutil.copytree(pir, place / "pir")
    (place / "legacy").mkdir()
    for name in ("inference.pdmodel", "inference.pdiparams"):
        shutil.copy(exported / name, place / "legacy" / name)
    import tarfile

    with tarfile.open(place / "net_infer.tar", "w") as tar:
        tar.add(place / "legacy", "net_infer")


def schedule(count: int) -> list[Kind]:
    """Kinds in turn; those whose command is quick more often."""
    turn = [kind for kind in KINDS for _ in range(kind.weight)]
    return [turn[index % len(turn)] for index in range(count)]
