"""Use edgekit for an hour as badly as it may be used, and look at what is left: `python -m scripts.soak`.

Random commands go against three virtual devices whose links, disks and processes fail at random; some of the
commands are interrupted or killed. Beside them a service answers a steady load, and a training run is killed
and resumed again and again. At the end no process and no temporary file may be left, no command may have
ended with a bug or hung, the service has not grown, and every result, manifest and checkpoint can be read.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from scripts.sides import children
from tests.devices import AdbDevice, running_adb_server, running_virtual_device
from tests.ports import free_port

MODEL = "PPLCNet_x0_25"
CLASSES = 4
DEVICES = 3
# An emulated device that hangs is given up after its engines' longest step.
COMMAND_S = 400.0
END_S = 90.0
SECOND_S = 60.0
KILLED = 0.25
FAULTY = 0.5
# 1 is a bug, 2 a command that this script wrote wrongly.
FORBIDDEN = {1, 2}
FAULTS = (
    ("hang_shell",), ("hang_open",), ("hang_push", "20000"), ("drop_after_push", "30000"),
    ("drop_after_shell", "200"), ("drop_after_pull", "10"), ("offline",), ("unauthorized",), ("refuse",),
    ("disk_full",), ("kill", "edgekit-runner"), ("reboot_at_shell", "500"), ("slow", "200000"),
    ("greeting", "welcome"), ("temperature", "0", "85"),
)  # fmt: skip
# The log of the adb server, and a file of a few bytes that ONNX Runtime's library writes when it is loaded.
KEPT_BY_OTHERS = ("adb.", ".ses")
GROWTH_BYTES = 48 << 20
SAMPLE_S = 2.0
REQUEST_S = 0.1


@dataclass
class Soak:
    """One run: where it happens, and what it has seen.

    Attributes:
        mark: Variable in the environment of every process that the run starts, directly or not.
        findings: What must not be; empty after a good run.
    """

    place: Path
    mark: str
    environment: dict[str, str]
    source: random.Random
    stop: threading.Event = field(default_factory=threading.Event)
    findings: list[str] = field(default_factory=list)
    ends: collections.Counter[str] = field(default_factory=collections.Counter)
    answers: collections.Counter[int] = field(default_factory=collections.Counter)
    service_bytes: list[int] = field(default_factory=list)
    service_files: list[int] = field(default_factory=list)
    kills: int = 0

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "edgekit", *map(str, words)],
            cwd=self.place, env=self.environment, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str | Path, end: tuple[signal.Signals, float] | None = None) -> int:
        """Run a command, with a signal after some seconds if asked; note how it ended."""
        child = self.start(*words)
        said, line = "", " ".join(map(str, words))
        try:
            if end is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    _, said = child.communicate(timeout=end[1])
                if child.poll() is None:
                    child.send_signal(end[0])
                    self.kills += 1
                if end[0] is signal.SIGINT and words.count("--device") > 1:
                    # The first ends a sweep of several devices after the turns that run, a second at once.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        _, said = child.communicate(timeout=SECOND_S)
                    if child.poll() is None:
                        child.send_signal(end[0])
            if child.poll() is None:
                _, said = child.communicate(timeout=COMMAND_S if end is None else END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            self.findings.append(f"{line}: no end" + ("" if end is None else f" after {end[0].name}"))
        code = child.returncode
        self.ends[f"{words[0]} {code}"] += 1
        # Python itself, interrupted before it has imported anything of edgekit.
        too_early = code == -signal.SIGINT and "edgekit" not in said
        if code in FORBIDDEN or ("Traceback" in said and not too_early) or (code < 0 and end is None):
            self.findings.append(f"{line}: ended with {code}: {said.strip()[-600:]}")
        return code


def prepare(soak: Soak) -> None:
    """Export the model; write pictures of four classes, their lists, and a directory for results."""
    rng = np.random.default_rng(0)
    (soak.place / "pictures").mkdir()
    (soak.place / "results").mkdir()
    lists: dict[str, list[str]] = {"train_list.txt": [], "val_list.txt": []}
    for number in range(96):
        kind = number % CLASSES
        picture = rng.integers(0, 60, (96, 96, 3), np.uint8)
        picture[:, :, :] += np.uint8(45 * kind)
        cv2.imwrite(str(soak.place / "pictures" / f"{number}.jpg"), picture)
        lists["val_list.txt" if number >= 80 else "train_list.txt"].append(f"{number}.jpg {kind}")
    for name, lines in lists.items():
        (soak.place / "pictures" / name).write_text("\n".join(lines) + "\n")
    words = [
        "export",
        MODEL,
        "--weights",
        "random",
        "--num-classes",
        str(CLASSES),
        "--formats",
        "paddle,onnx",
    ]
    if soak.run(*words) != 0:
        raise SystemExit(f"the model could not be exported: {soak.findings}")


def random_command(soak: Soak, devices: Sequence[AdbDevice], number: int) -> list[str]:
    """A command that somebody may give at any time."""
    serials = [device.serial for device in devices]
    one, result = ["--device", soak.source.choice(serials)], f"results/{number}.json"
    bench = [
        "bench",
        MODEL,
        "--engine",
        "onnxruntime",
        "--repeats",
        "3",
        "--processes",
        "2",
        "--min-secs",
        "0",
    ]
    measured = [str(path) for path in sorted(soak.place.glob("results/*.json"))]
    choices = [
        [*bench, *one, "-o", result],
        [*bench, *one, "--threads", "1,2", "-o", result],
        [*bench, "--device", serials[0], "--device", serials[-1]],
        [*bench, "--host", "-o", result],
        ["verify", MODEL, *one],
        ["push", MODEL, "--engine", "onnxruntime", *one],
        ["predict", MODEL, "pictures", "--engine", "onnxruntime"],
        ["eval", MODEL, "--data", "pictures", "--list", "pictures/val_list.txt", "--engine", "onnxruntime",
         "-o", f"results/eval-{number}.json"],
        ["export", MODEL, "--weights", "random", "--num-classes", str(CLASSES), "--formats", "paddle,onnx",
         "--force", "--no-verify"],
        ["devices"],
    ]  # fmt: skip
    if measured:
        choices += [["report", soak.source.choice(measured)]]
    return soak.source.choice(choices)


def use_devices(soak: Soak, devices: Sequence[AdbDevice], seconds: float) -> None:
    """Give random commands until the time is over; faults come before and go after them."""
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        device = soak.source.choice(devices)
        if soak.source.random() < FAULTY:
            device.fault(*soak.source.choice(FAULTS))
        end = None
        if soak.source.random() < KILLED:
            chosen = soak.source.choice([signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
            end = (chosen, soak.source.uniform(0.5, 20))
        soak.run(*random_command(soak, devices, number), end=end)
        device.fault("--clear")
        with contextlib.suppress(AssertionError):
            device.reconnect(timeout_s=30)


def train_with_kills(soak: Soak) -> None:
    """Train, kill, resume, until the soak ends; then the run is finished, and its weights are exported."""
    words = [
        "train",
        MODEL,
        "--data",
        "pictures",
        "--epochs",
        "40",
        "--batch-size",
        "16",
        "--input-size",
        "64",
    ]
    words += ["-o", "training"]
    source = random.Random(1)
    while not soak.stop.is_set():
        resume = ["--resume"] if (soak.place / "training").is_dir() else []
        code = soak.run(*words, *resume, end=(signal.SIGKILL, source.uniform(8, 40)))
        if code == 0:
            check_training(soak)
            (soak.place / "training").rename(soak.place / f"trained-{time.monotonic_ns()}")
        elif code == 3 and not (soak.place / "training" / "latest.pdparams").exists():
            # It was killed before its first checkpoint, from which nothing can be resumed.
            (soak.place / "training").rename(soak.place / f"unstarted-{time.monotonic_ns()}")


def check_training(soak: Soak) -> None:
    best = soak.place / "training" / "best_model.pdparams"
    name = ["--name", "trained", "--weights", str(best), "--formats", "paddle", "--no-verify"]
    if soak.run("export", MODEL, *name, "-o", soak.place / "trained-model", "--force") != 0:
        soak.findings.append("the trained weights cannot be exported")


@contextlib.contextmanager
def running_service(soak: Soak) -> Iterator[tuple[int, int]]:
    """The service with a copy of the model; yields its process id and port. It must end by SIGTERM with 0."""
    ports = [free_port() for _ in range(3)]
    options = [f"--{kind}port={port}" for kind, port in zip(("", "grpc-", "metrics-"), ports, strict=True)]
    subprocess.run(["cp", "-r", f"models/{MODEL}", "served"], cwd=soak.place, check=True)
    child = soak.start("serve", "./served", *options)
    drained = threading.Thread(target=lambda: [None for _ in child.stderr or ()], daemon=True)
    drained.start()
    try:
        wait_until_ready(ports[0], child)
        yield child.pid, ports[0]
    finally:
        child.terminate()
        if (code := child.wait(END_S)) != 0:
            soak.findings.append(f"the service ended with {code}")


def wait_until_ready(port: int, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=2),
        ):
            return
        time.sleep(0.2)
    raise SystemExit("the service did not start")


def load_service(soak: Soak, port: int) -> None:
    """Ask the service; every answer to a picture must be the one that it gave first."""
    known: dict[str, str] = {}
    url = f"http://127.0.0.1:{port}/v2/models/{MODEL}/classify"
    pictures = sorted((soak.place / "pictures").glob("*.jpg"))
    source = random.Random(2)
    while not soak.stop.wait(REQUEST_S):
        picture = source.choice(pictures)
        request = urllib.request.Request(url, picture.read_bytes(), {"Content-Type": "image/jpeg"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                said = json.loads(response.read())
                soak.answers[response.status] += 1
        except OSError as error:
            soak.findings.append(f"the service: {error}")
            continue
        classes = json.dumps(said, sort_keys=True)
        if known.setdefault(picture.name, classes) != classes:
            soak.findings.append(f"the service answers {picture.name} differently: {classes[:300]}")


def watch_service(soak: Soak, pid: int) -> None:
    while not soak.stop.wait(SAMPLE_S):
        group = [pid, *children_of(pid)]
        soak.service_bytes.append(sum(resident_bytes(one) for one in group))
        soak.service_files.append(sum(open_files(one) for one in group))


def children_of(pid: int) -> list[int]:
    return [one for child in children(pid) for one in (child, *children_of(child))]


def resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    return 0


def open_files(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def marked_processes(mark: str) -> list[str]:
    """Command lines of the processes that this run started and that still run."""
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            own = not place.name.isdigit() or int(place.name) == os.getpid()
            if not own and mark.encode() in (place / "environ").read_bytes():
                found.append(f"{place.name} {(place / 'cmdline').read_bytes().decode()[:200]!r}")
    return found


def look_at_files(soak: Soak) -> None:
    """After one more command in each place nothing temporary is left, and all results are readable."""
    soak.run(
        "export", MODEL, "--weights", "random", "--num-classes", str(CLASSES), "--formats", "paddle,onnx"
    )
    for journal in sorted(soak.place.glob("results/*.journal")):
        soak.ends["journal left by a kill"] += 1
        if not journal.name.startswith("eval-"):
            soak.run("report", journal.with_suffix(".json"))
    for path in sorted(soak.place.glob("results/*.json")):
        if soak.run("report", path) != 0:
            soak.findings.append(f"{path.name} cannot be reported")
    temporary = Path(soak.environment["TMPDIR"])
    left = [path for path in temporary.iterdir() if not path.name.startswith(KEPT_BY_OTHERS)]
    left += [
        path for path in soak.place.rglob("*") if path.name.startswith((".export-", ".pending", ".part"))
    ]
    soak.findings += [f"left behind: {path.relative_to(soak.place)}" for path in left]


def judge_memory(soak: Soak) -> str:
    """Compare the service's first and last quarter of the run, after its start."""
    samples = soak.service_bytes[len(soak.service_bytes) // 8 :]
    quarter = max(1, len(samples) // 4)
    first, last = statistics.median(samples[:quarter]), statistics.median(samples[-quarter:])
    files = soak.service_files[len(soak.service_files) // 8], soak.service_files[-1]
    if last - first > GROWTH_BYTES:
        soak.findings.append(f"the service grew from {first / 1e6:.0f} to {last / 1e6:.0f} MB")
    if files[1] > files[0] + 16:
        soak.findings.append(f"the service had {files[0]} files open, then {files[1]}")
    return f"service {first / 1e6:.0f} to {last / 1e6:.0f} MB, {files[0]} to {files[1]} open files"


def run_soak(soak: Soak, minutes: float) -> str:
    """Do it all; return the line about memory."""
    prepare(soak)
    with contextlib.ExitStack() as stack:
        home = soak.place / "adb"
        home.mkdir()
        host = stack.enter_context(running_adb_server(home))
        soak.environment |= host.environment
        devices = [stack.enter_context(running_virtual_device(host)) for _ in range(DEVICES)]
        pid, port = stack.enter_context(running_service(soak))
        threads = [
            threading.Thread(target=work, args=(soak, *more))
            for work, *more in ((train_with_kills,), (load_service, port), (watch_service, pid))
        ]
        for thread in threads:
            thread.start()
        try:
            use_devices(soak, devices, minutes * 60)
        finally:
            soak.stop.set()
            for thread in threads:
                thread.join()
    look_at_files(soak)
    time.sleep(3)
    soak.findings += [f"still running: {line}" for line in marked_processes(soak.mark)]
    return judge_memory(soak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgekit-soak-") as directory:
        place, mark = Path(directory), f"soak-{uuid.uuid4().hex}"
        (place / "tmp").mkdir()
        own = {"TMPDIR": str(place / "tmp"), "EDGEKIT_SOAK": mark, "NO_COLOR": "1"}
        os.environ.update(own)
        soak = Soak(place, mark, {**os.environ}, random.Random(arguments.seed))
        memory = run_soak(soak, arguments.minutes)
    ends = ", ".join(f"{how}: {count}" for how, count in sorted(soak.ends.items()))
    print(
        f"{sum(soak.ends.values())} commands, {soak.kills} of them ended by a signal ({ends})\n"
        f"{soak.answers[200]} answers of the service; {memory}"
    )
    for finding in soak.findings:
        print(f"FINDING {finding}")
    sys.exit(9 if soak.findings else 0)


if __name__ == "__main__":
    main()
