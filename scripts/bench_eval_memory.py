"""Peak memory of `edgekit eval`: flat from 1,000 to 20,000 pictures.

Looked at apart: the command itself (VmHWM, sampled while it runs) and its largest runner (the kernel's count
at the end). Limit for each: the long list takes at most 1.05 times, and 8 MB more than, the short one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

MODEL = "PPLCNet_x0_25"
PICTURES = 100
LIMIT_RATIO, LIMIT_MB = 1.05, 8.0
SAMPLE_S = 0.1


def write_pictures(directory: Path) -> list[str]:
    """Small pictures; the same ones are listed again and again."""
    directory.mkdir()
    names = []
    for index in range(PICTURES):
        coarse = np.random.default_rng(index).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (320, 256), interpolation=cv2.INTER_CUBIC)
        names.append(f"{index:03d}.jpg")
        assert cv2.imwrite(str(directory / names[-1]), picture)
    return names


def peak_mb(scratch: Path, names: list[str], count: int, engines: str) -> tuple[float, float]:
    """Peak resident megabytes of an evaluation of `count` pictures: the command's, its largest process's."""
    listing = scratch / f"{count}.txt"
    lines = (f"{names[index % len(names)]} {index % 1000}\n" for index in range(count))
    listing.write_text("".join(lines))
    words = [sys.executable, "-m", "edgekit", "eval", str(scratch / "models" / MODEL)]
    words += ["--data", str(scratch / "pictures"), "--list", str(listing), "--engine", engines]
    words += ["-o", str(scratch / f"{count}.json")]
    child = subprocess.Popen(words, cwd=scratch, stdout=subprocess.DEVNULL)
    own = 0.0
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        own = max(own, high_water_mb(child.pid))
        time.sleep(SAMPLE_S)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"eval of {count} pictures failed")
    return own, usage.ru_maxrss / 1024


def high_water_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0  # it has just ended


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--short", type=int, default=1000)
    parser.add_argument("--long", type=int, default=20_000)
    parser.add_argument("--engine", default="onnxruntime")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as directory:
        scratch = Path(directory)
        words = [sys.executable, "-m", "edgekit", "export", MODEL, "--weights", "random"]
        words += ["--formats", "paddle,onnx"]
        subprocess.run(words, check=True, cwd=scratch, capture_output=True, timeout=600)
        names = write_pictures(scratch / "pictures")
        short = peak_mb(scratch, names, options.short, options.engine)
        long = peak_mb(scratch, names, options.long, options.engine)
    missed = False
    for what, before, after in zip(("command", "largest process"), short, long, strict=True):
        kept = after <= LIMIT_RATIO * before and after - before <= LIMIT_MB
        missed |= not kept
        figures = f"{before:.1f} MB for {options.short} pictures, {after:.1f} MB for {options.long}"
        limit = f"at most {LIMIT_RATIO} times and {LIMIT_MB:g} MB more"
        print(f"{'ok  ' if kept else 'MISS'} peak memory, {what}: {figures} ({limit})")
    return 9 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
