"""The published V100 tables anew by ONNX Runtime CUDA, on a machine with a GPU that reaches no network.

    scripts/bench_gpu.py pack DIR   here: exports the networks, and fetches wheels of edgekit and all it needs
    DIR/bench_gpu.py run DIR        there: an environment from these wheels, `bench`, and the tables beside
                                    the published figures
    --python PYTHON                 `run` uses this interpreter, which has edgekit, onnxruntime-gpu and
                                    paddlepaddle, and makes no environment
    --dry-run                       prints the commands of either, and runs none
    --fit MINUTES                   seconds of each point so that all end in time (default 10)

The networks are PP-LCNet's eight scales with batches of 1, 4 and 8 and PP-HGNet_tiny with a batch of 1, with
random weights. DIR takes about 4 GB, most of it CUDA's and cuDNN's wheels. The machine with the GPU has
NVIDIA's driver and a Python of the same version; the script needs no other package. Without a GPU `run` ends
with exit code 6.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

SCALES = ("x0_25", "x0_35", "x0_5", "x0_75", "x1_0", "x1_5", "x2_0", "x2_5")
SERIES = (([f"PPLCNet_{scale}" for scale in SCALES], (1, 4, 8)), (["PPHGNet_tiny"], (1,)))
POINTS = sum(len(networks) * len(batches) for networks, batches in SERIES)
EXTRAS = "gpu,paddle,report"
PROCESSES = 3
# Of a process: its start, loading and the choice of cuDNN's algorithms.
START_S = 6.0
EXIT_NO_GPU = 6


def pack(place: Path, root: Path) -> list[list[str]]:
    """Commands that fill a directory with all that `run` needs."""
    networks = [name for names, _ in SERIES for name in names]
    export = ["export", *networks, "--weights", "random", "--formats", "paddle,onnx"]
    wheels = str(place / "wheels")
    return [
        [sys.executable, "-m", "edgekit", *export],
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", wheels, str(root)],
        [sys.executable, "-m", "pip", "download", "-d", wheels, f"{root}[{EXTRAS}]"],
    ]


def install(place: Path) -> list[list[str]]:
    """Commands that make an environment of the wheels there."""
    environment = place / "environment"
    wheels = ["--no-index", "-f", str(place / "wheels")]
    return [
        [sys.executable, "-m", "venv", str(environment)],
        [str(environment / "bin" / "python"), "-m", "pip", "install", "-q", *wheels, f"edgekit[{EXTRAS}]"],
    ]


def run(place: Path, minutes: float, python: str | None = None) -> list[list[str]]:
    """Commands that measure there, by an interpreter or in an environment of the wheels."""
    commands = install(place) if python is None else []
    python = python or str(place / "environment" / "bin" / "python")
    seconds = max(0.5, minutes * 60 / POINTS / PROCESSES - START_S)
    results = []
    for number, (networks, batches) in enumerate(SERIES):
        result = str(place / f"v100_{number}.json")
        words = ["--engine", "onnxruntime-cuda", "--batch-size", ",".join(map(str, batches))]
        limits = [
            "--processes",
            str(PROCESSES),
            "--min-secs",
            f"{seconds:.1f}",
            "--max-secs",
            f"{2 * seconds:.1f}",
        ]
        commands.append(
            [python, "-m", "edgekit", "bench", *networks, "--host", *words, *limits, "-o", result]
        )
        results.append(result)
    return [*commands, [python, "-m", "edgekit", "report", *results, "--published"]]


def gpus() -> str:
    """Return the GPUs that NVIDIA's driver lists; an empty text without a driver or a GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("action", choices=("pack", "run"))
    parser.add_argument("place", type=Path, metavar="DIR")
    parser.add_argument("--fit", type=float, default=10.0, metavar="MINUTES")
    parser.add_argument("--python", metavar="PYTHON")
    parser.add_argument("--dry-run", action="store_true")
    asked = parser.parse_args()
    place = asked.place.absolute()
    root = Path(__file__).resolve().parents[1]
    commands = pack(place, root) if asked.action == "pack" else run(place, asked.fit, asked.python)
    if asked.dry_run:
        print("\n".join(shlex.join(command) for command in commands))
        return 0
    if asked.action == "run":
        found = gpus()
        if not found:
            print(
                "error: measuring on a GPU: nvidia-smi lists none on this machine\n"
                "hint: scripts/bench_gpu.py run DIR --dry-run  shows what would run",
                file=sys.stderr,
            )
            return EXIT_NO_GPU
        print(found)
    else:
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(__file__, place)
    for command in commands:
        done = subprocess.run(
            command, cwd=place, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}, check=False
        )
        if done.returncode:
            print(f"error: {shlex.join(command)} ended with {done.returncode}", file=sys.stderr)
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
