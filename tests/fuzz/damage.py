"""Damage to files of every kind that edgekit reads, and what edgekit makes of it.

Each attempt is a real command in a process of its own, so that a hang or a crash of native code counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DOCUMENTED = {0, 2, 3, 4, 5, 6, 7, 8, 9}
TIMEOUT_S = 120.0
# Where files of every format keep their structure: half of the damage goes there.
EDGE_BYTES = 2000
CONFIG = """models = ["absent"]
host = true
engine = ["onnxruntime", "openvino"]
precision = "fp32"
threads = [1, 2]
batch-size = 1
cores = "0"
warmup = 1
repeats = 2
min-secs = 0.0
max-secs = 5.0
cooldown = 0.0
processes = 1
engine-option = { spinning = "off" }
"""
YML = """PreProcess:
  transform_ops:
  - ResizeImage: {resize_short: 40}
  - CropImage: {size: 32}
  - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
PostProcess: {Topk: {topk: 5, label_list: [ant, bee, cow, dog, eel]}}
"""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file.

    Attributes:
        file: The file, relative to a copy of the seeds.
        commands: What reads it, each as often as it stands here.
        weight: How often it is tried for every turn.
        listed: The manifest is told the damaged file's hash, so that whoever runs it has to cope.
    """

    name: str
    file: str
    commands: tuple[tuple[str, ...], ...]
    weight: int = 1
    listed: bool = False


QUICK = ("--no-verify", "--no-install", "--formats", "paddle")
# A damaged number may rightly ask for a measurement of years: how long is said on the command line.
SHORT = ("--no-install", "--processes", "1", "--repeats", "2", "--warmup", "0", "--min-secs", "0",
         "--max-secs", "1", "--cooldown", "0", "--threads", "1", "--batch-size", "1")  # fmt: skip


def _import(path: str, *options: str) -> tuple[str, ...]:
    return ("import", path, "--name", "x", *options, *QUICK)


def _predict(*options: str) -> tuple[str, ...]:
    return ("predict", "net", "picture.png", "--workers", "1", "--no-install", *options)


KINDS = (
    Kind(
        name="manifest", file="models/net/manifest.json", weight=8,
        commands=(*[("models", "show", "models/card.toml")] * 2, *[("models", "list")] * 2, _predict(),
                  ("bench", "net", "--host", *SHORT), ("verify", "net", "--no-install")),
    ),
    Kind(
        name="labels", file="labels.txt", weight=3,
        commands=(_import("net.onnx", "--labels", "labels.txt"), *[_predict("--labels", "labels.txt")] * 2),
    ),
    Kind(name="yml", file="net.yml", commands=(_import("net.onnx", "--preprocess", "net.yml"),), weight=2),
    Kind(
        name="config", file="bench.toml", weight=10,
        commands=(*[("bench", "--config", "bench.toml", "--no-install")] * 3,
                  ("bench", "net", "--config", "bench.toml", *SHORT)),
    ),
    Kind(
        name="result", file="result.json", weight=12,
        commands=(("report", "result.json"), ("report", "result.json", "good.json", "--format", "csv"),
                  ("report", "result.json", "--format", "md", "--published"),
                  ("report", "result.json", "--format", "json"),
                  ("report", "result.json", "--format", "html", "-o", "page.html"),
                  ("compare", "good.json", "result.json"),
                  ("bench", "--resume", "result.json", "--no-install")),
    ),
    Kind(
        name="card", file="models/card.toml", weight=8,
        commands=(*[("models", "show", "models/card.toml")] * 6,
                  ("export", "models/card.toml", "--weights", "random", *QUICK)),
    ),
    Kind(
        name="pdparams", file="net.pdparams", weight=2,
        commands=(("export", "PPLCNet_x0_25", "--weights", "net.pdparams", *QUICK),),
    ),
    Kind(name="onnx", file="net.onnx", commands=(_import("net.onnx"),), weight=2),
    Kind(
        name="pdmodel", file="legacy/inference.pdmodel", weight=2,
        commands=(_import("legacy"), ("import", "legacy", "--name", "x", "--no-verify", "--no-install")),
    ),
    Kind(name="pdiparams", file="legacy/inference.pdiparams", commands=(_import("legacy"),), weight=2),
    Kind(name="pir", file="pir/inference.json", commands=(_import("pir"),), weight=2),
    Kind(name="tar", file="net_infer.tar", commands=(_import("net_infer.tar"),), weight=3),
    Kind(
        name="nb", file="models/net/inference.x86.nb", weight=2, listed=True,
        commands=(_predict("--engine", "paddlelite"), ("verify", "net", "--no-install"),
                  ("bench", "net", "--host", "--engine", "paddlelite", *SHORT)),
    ),
    Kind(
        name="own onnx", file="models/net/inference.onnx", weight=2, listed=True,
        commands=(_predict(), ("bench", "net", "--host", "--engine", "onnxruntime,openvino", *SHORT)),
    ),
    Kind(
        name="own pdiparams", file="models/net/inference.pdiparams", listed=True,
        commands=(("bench", "net", "--host", *SHORT),),
    ),
)  # fmt: skip


def place_in(data: bytearray, source: random.Random) -> int:
    """An offset, half of the time near either end."""
    if len(data) > 2 * EDGE_BYTES and source.random() < 0.5:
        offset = source.randrange(EDGE_BYTES)
        return source.choice((offset, len(data) - 1 - offset))
    return source.randrange(len(data))


def flip_bits(data: bytearray, source: random.Random) -> bytearray:
    for _ in range(source.choice((1, 1, 4, 32))):
        data[place_in(data, source)] ^= 1 << source.randrange(8)
    return data


def truncate(data: bytearray, source: random.Random) -> bytearray:
    return data[: place_in(data, source)]


def overwrite(data: bytearray, source: random.Random) -> bytearray:
    start = place_in(data, source)
    length = min(source.randrange(1, 200), len(data) - start)
    data[start : start + length] = source.choice((bytes(length), b"\xff" * length, source.randbytes(length)))
    return data


def repeat(data: bytearray, source: random.Random) -> bytearray:
    start = place_in(data, source)
    piece = data[start : start + source.randrange(1, 500)]
    return data[:start] + piece * source.randrange(1, 20) + data[start:]


def delete(data: bytearray, source: random.Random) -> bytearray:
    start = place_in(data, source)
    return data[:start] + data[start + source.randrange(1, 100) :]


# A scalar of JSON, TOML or YAML, and what may stand in its place.
SCALAR = re.compile(rb'"[^"\n]*"(\s*:)?|-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b|\b(?:true|false|null)\b')
ODD_VALUES = (
    b"0", b"-1", b"1", b"2", b"0.0", b"65536", b"2147483648", b"18446744073709551616", b"1e308", b"1e999",
    b"nan", b"null", b"true", b'""', b'"x"', b'"../x"', b'"\\u0000"', b"[]", b"[[]]", b"{}",
)  # fmt: skip


def change_value(data: bytearray, source: random.Random) -> bytearray:
    """Another value in a text, which stays well-formed; in other files whatever looks like a value."""
    scalars = [found for found in SCALAR.finditer(bytes(data)) if found[1] is None]  # a key has its colon
    if not scalars:
        return flip_bits(data, source)
    found = source.choice(scalars)
    return data[: found.start()] + source.choice(ODD_VALUES) + data[found.end() :]


DAMAGES: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    flip_bits, truncate, overwrite, repeat, delete, change_value, change_value, change_value,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One damaged file and what a command made of it; `finding` is what was wrong with that, if anything."""

    kind: str
    seed: int
    words: str
    exit_code: int | None
    seconds: float
    finding: str | None


def attempt(python: Path, seeds: Path, kind: Kind, seed: int, scratch: Path) -> Attempt:
    """Damage one file and run one of its commands with that interpreter."""
    source = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=scratch) as name:
        place, temporary = Path(name) / "work", Path(name) / "tmp"
        temporary.mkdir()
        shutil.copytree(seeds, place)
        damage, command = source.choice(DAMAGES), source.choice(kind.commands)
        path = place / kind.file
        path.write_bytes(bytes(damage(bytearray(path.read_bytes()), source)))
        if kind.listed:
            _list(path)
        before = set(place.rglob("*"))
        started = time.monotonic()
        exit_code, stderr = _run(python, command, place, temporary)
        seconds = time.monotonic() - started
        fault = _fault(exit_code, stderr) or _leftover(place, before, temporary, failed=exit_code != 0)
    words = " ".join(command)
    finding = f"{kind.name} seed {seed} ({damage.__name__}; {words}): {fault}" if fault else None
    return Attempt(
        kind=kind.name, seed=seed, words=words, exit_code=exit_code, seconds=seconds, finding=finding
    )


def _list(path: Path) -> None:
    """Say in the manifest beside a file what the file is now."""
    manifest = path.with_name("manifest.json")
    document, content = json.loads(manifest.read_text()), path.read_bytes()
    for artifact in document["artifacts"].values():
        for file in artifact["files"]:
            if file["path"] == path.name:
                file |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    manifest.write_text(json.dumps(document))


def _run(python: Path, command: tuple[str, ...], place: Path, temporary: Path) -> tuple[int | None, str]:
    environment = {**os.environ, "NO_COLOR": "1", "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [python, "-m", "edgekit", *command],
            cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stderr


def _fault(exit_code: int | None, stderr: str) -> str | None:
    if exit_code is None:
        return f"no end after {TIMEOUT_S:g} s"
    if exit_code not in DOCUMENTED:
        return f"exit code {exit_code}: {stderr[-400:]}"
    if "Traceback" in stderr:
        return f"a traceback: {stderr[-800:]}"
    if exit_code and "error:" not in stderr:
        return f"exit code {exit_code} without a message: {stderr[-300:]}"
    return None


def _leftover(place: Path, before: set[Path], temporary: Path, *, failed: bool) -> str | None:
    # ONNX Runtime 1.32 keeps a session number there, whoever uses it.
    left = [each for each in temporary.iterdir() if each.name != ".ses"]
    if failed:
        results = place / "results"
        left += [each for each in set(place.rglob("*")) - before if results not in (each, *each.parents)
                 and not each.name.endswith((".lock", ".owner"))]  # fmt: skip
    return f"left {[str(each) for each in left]}" if left else None


def schedule(count: int) -> list[Kind]:
    """Kinds in turn; those whose command is quick more often."""
    turn = [kind for kind in KINDS for _ in range(kind.weight)]
    return [turn[index % len(turn)] for index in range(count)]
