"""The device path on virtual devices: pushes, cost of a point, counts that repeat, two devices at once.

Models are files of the sizes that PP-LCNet x0_25 to x2_5 and PP-HGNet have as `.nb`, where it does not
matter what is in them; what is run is the model directory given (or exported with random weights).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from edgekit._files import sha256_file
from edgekit.bench.bench import timing_for
from edgekit.bench.cell import Cell, take_turn
from edgekit.bench.several import bench_all
from edgekit.convert.manifest import load_manifest
from edgekit.core.artifact import Artifact, ArtifactFile, ArtifactKind
from edgekit.core.bench_options import BenchOptions
from edgekit.core.spec import Precision
from edgekit.device.packed import Model, PackedBundle
from edgekit.device.push import push_to
from edgekit.device.store import DeviceStore
from edgekit.runners.protocol import Run
from edgekit.targets.bundles import Bundles
from edgekit.targets.device import DeviceTarget
from edgekit.targets.target import Subject, load_request
from edgekit.toolchain.adb import find_adb
from edgekit.toolchain.build.bundle import assemble
from edgekit.transports.adb import AdbTransport
from edgekit.transports.adb_server import parse_server
from edgekit.virtual.lifecycle import start, stop

ENGINE = "onnxruntime"
SIZES_MB = (6.2, 6.6, 7.6, 9.5, 11.9, 18.0, 26.1, 36.1, 59.0, 97.6)
SECOND_PUSH_S, FIRST_PUSH_RATIO, POINT_S, TWO_DEVICES_RATIO = 1.0, 1.3, 0.5, 1.2
COUNTED_RUNS = 10


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def private_adb(home: Path) -> Iterator[None]:
    """An adb server of this run's own."""
    os.environ.update({"ANDROID_ADB_SERVER_PORT": "15937", "ADB_MDNS": "0"})
    environment = {**os.environ, "HOME": str(home)}
    subprocess.run([find_adb(), "start-server"], env=environment, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([find_adb(), "kill-server"], env=environment, check=False, capture_output=True)


def virtual_device(stack: ExitStack, name: str) -> AdbTransport:
    instance = start(soc="sd855", serial=name, report=say)
    stack.callback(stop, instance.config.serial)
    server = parse_server(None)
    server.connect(instance.config.address)
    return AdbTransport(instance.config.address, server)


def ten_models(directory: Path, template: Path) -> list[Model]:
    manifest = load_manifest(template)
    artifact = manifest.artifacts[ArtifactKind.ONNX.value]
    models = []
    for index, size_mb in enumerate(SIZES_MB):
        place = directory / f"model{index}"
        place.mkdir()
        path = place / "inference.onnx"
        path.write_bytes(os.urandom(round(size_mb * 1e6)))
        file = ArtifactFile(path=path.name, sha256=sha256_file(path), size_bytes=path.stat().st_size)
        here: Artifact = msgspec.structs.replace(artifact, files=(file,))
        models.append(
            Model(directory=place, manifest=msgspec.structs.replace(manifest, labels=None), artifacts=(here,))
        )
    return models


def pushes(transport: AdbTransport, models: list[Model], rounds: int) -> dict[str, float]:
    """Medians of: first push, the same bytes by adb push and sha256sum, second push; seconds."""
    packed = PackedBundle(assemble(ENGINE, progress=say))
    store = DeviceStore(transport)
    firsts, bares, seconds = [], [], []
    files = [str(item.local) for model in models for item in model.items(model.artifacts[0])]
    for _ in range(rounds):
        store.clean()
        push_to(store, packed, [])
        firsts.append(push_to(store, packed, models).wall_s)
        seconds.append(push_to(store, packed, models).wall_s)
        store.clean()
        bares.append(bare_push(transport, files))
    return {
        name: statistics.median(of) for name, of in (("first", firsts), ("second", seconds), ("bare", bares))
    }


def bare_push(transport: AdbTransport, files: list[str]) -> float:
    """`adb push` of the files, each under its own name, and `sha256sum` of them over there."""
    adb = [find_adb(), "-s", transport.serial]
    place = "/data/local/tmp/bare"
    transport.run(["mkdir", "-p", place])
    started = time.monotonic()
    for index, file in enumerate(files):
        subprocess.run([*adb, "push", file, f"{place}/{index}"], check=True, capture_output=True)
    subprocess.run([*adb, "shell", f"sha256sum {place}/*"], check=True, capture_output=True)
    wall_s = time.monotonic() - started
    transport.remove([place])
    return wall_s


def cell(subject: Subject) -> Cell:
    return Cell(
        subject=subject,
        engine=ENGINE,
        precision=Precision.FP32,
        threads=1,
        batch_size=1,
        cores=None,
        power_mode=None,
        options={},
    )


def point_overhead(target: DeviceTarget, subject: Subject, rounds: int) -> float:
    """Median of: seconds of a point with its environments, less those of its runner's job by `adb shell`."""
    artifact = subject.artifact(ArtifactKind.ONNX)
    session = target.session(ENGINE, "bare", counted=True)
    words = [f"{name}={shlex.quote(value)}" for name, value in session._env.items()]
    command = " ".join([*words, shlex.join(session._argv)])
    load = load_request(target, subject, artifact)
    run = Run(warmup=2, warmup_ns=0, repeats=3, min_ns=0, max_ns=600_000_000_000, mark=True)
    job = msgspec.json.encode(load) + b"\n" + msgspec.json.encode(run) + b"\n"
    overheads = []
    for _ in range(rounds + 1):
        started = time.monotonic()
        target.environment(ENGINE)
        take_turn(target, cell(subject), artifact, timing_for(target.info, BenchOptions()), None)
        target.environment(ENGINE)
        point_s = time.monotonic() - started
        started = time.monotonic()
        argv = [find_adb(), "-s", target.info.serial, "shell", command]
        subprocess.run(argv, input=job, check=True, capture_output=True)
        overheads.append(point_s - (time.monotonic() - started))
    return statistics.median(overheads[1:])


def counts(target: DeviceTarget, subject: Subject) -> list[int]:
    artifact = subject.artifact(ArtifactKind.ONNX)
    found = []
    for _ in range(COUNTED_RUNS):
        turn = take_turn(target, cell(subject), artifact, timing_for(target.info, BenchOptions()), None)
        assert turn.instruction_count is not None
        found.append(turn.instruction_count.total)
    return found


def two_devices(targets: list[DeviceTarget], subject: Subject, directory: Path) -> tuple[float, float]:
    """Seconds of one bench on one device, and of the same on both at once."""
    os.chdir(directory)
    options = BenchOptions(engines=(ENGINE,), repeats=10, warmup=2)
    bench_all(targets, [subject], msgspec.structs.replace(options, repeats=1), show=lambda _: None)
    walls = []
    for group in (targets[:1], targets):
        started = time.monotonic()
        outcomes = bench_all(group, [subject], options, show=lambda _: None)
        assert all(outcome.error is None for outcome in outcomes), outcomes
        walls.append(time.monotonic() - started)
    return walls[0], walls[1]


def measure(model: Path, rounds: int) -> dict[str, object]:
    subject = Subject(directory=model, manifest=load_manifest(model))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(private_adb(directory))
        transports = [virtual_device(stack, f"bench{index}") for index in range(2)]
        models = ten_models(directory, model)
        pushed = pushes(transports[0], models, rounds)
        bundles = Bundles()
        targets = [DeviceTarget(transport, bundles) for transport in transports]
        for target in targets:
            stack.callback(target.close)
            target.prepare(ENGINE)
        overhead_s = point_overhead(targets[0], subject, rounds)
        counted = counts(targets[0], subject)
        one_s, two_s = two_devices(targets, subject, directory)
        os.chdir("/")
    return {
        "second_push_s": pushed["second"],
        "first_push_s": pushed["first"],
        "bare_push_and_hash_s": pushed["bare"],
        "first_push_ratio": pushed["first"] / pushed["bare"],
        "point_overhead_s": overhead_s,
        "instruction_counts": counted,
        "distinct_counts": len(set(counted)),
        "two_devices_ratio": two_s / one_s,
        "reached": {
            f"second push of ten models under {SECOND_PUSH_S:g} s": pushed["second"] < SECOND_PUSH_S,
            f"first push within {FIRST_PUSH_RATIO} of adb push and sha256sum": pushed["first"]
            <= FIRST_PUSH_RATIO * pushed["bare"],
            f"a point costs under {POINT_S:g} s": overhead_s < POINT_S,
            f"{COUNTED_RUNS} counts are equal": len(set(counted)) == 1,
            f"two devices within {TWO_DEVICES_RATIO} of one": two_s <= TWO_DEVICES_RATIO * one_s,
        },
    }


def export_model(directory: Path) -> Path:
    argv = [sys.executable, "-m", "edgekit", "export", "PPLCNet_x0_25", "--weights", "random"]
    subprocess.run(argv, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    return directory / "models" / "PPLCNet_x0_25"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="an exported model; PPLCNet_x0_25 is exported without")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        model = arguments.model.absolute() if arguments.model else export_model(Path(directory))
        figures = measure(model, arguments.rounds)
    reached = figures["reached"]
    assert isinstance(reached, dict)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            if name != "reached":
                print(f"{name:<24}{value:.3f}" if isinstance(value, float) else f"{name:<24}{value}")
        for name, yes in reached.items():
            print(f"{'reached' if yes else 'MISSED ':<8} {name}")
    return 0 if all(reached.values()) else 9


if __name__ == "__main__":
    sys.exit(main())
