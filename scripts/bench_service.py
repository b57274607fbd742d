"""The service under load against the bare engine.   scripts/bench_service.py [NAME] [--picture FILE]

A load generator in processes of its own asks over gRPC, one picture a request. Throughput with 16 clients is
set beside what the bare engine reaches at its best batch size (limit 0.9 of it); then requests come at 70 %
of that rate, and their p99 is set beside their median (limit three times). Without NAME: the document
orientation network, exported for this.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.queues import Queue
from pathlib import Path

MODEL = "PPLCNet_x1_0_doc_ori"
PICTURE = Path(__file__).parents[1] / "models" / "samples" / "page_90.png"
CLIENTS = 16
SHARE_LIMIT = 0.9
TAIL_LIMIT = 3.0
LOAD = 0.7
BATCHES = (1, 2, 4, 8)


def bare_engine(name: str, seconds: float) -> float:
    """Inputs a second of the engine alone, one thread, at its best batch size."""
    import json

    command = [
        sys.executable, "-m", "edgekit", "bench", name, "--host", "--engine", "onnxruntime", "--threads", "1",
        "--batch-size", ",".join(map(str, BATCHES)), "--min-secs", str(seconds / len(BATCHES)), "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    points = json.loads(done.stdout)["points"]
    rates = []
    for point in points:
        samples = [sample for process in point["processes"] for sample in process["samples_ns"]]
        rates.append(point["batch_size"] / statistics.median(samples) * 1e9)
    return max(rates)


def client(
    port: int,
    name: str,
    picture: bytes,
    seconds: float,
    interval_s: float | None,
    answers: Queue,
) -> None:
    """Ask until the time is up, without a pause or every `interval_s`; latency counts from the due time."""
    import numpy as np
    import tritonclient.grpc as grpc

    given = grpc.InferInput("image", [1], "BYTES")
    given.set_data_from_numpy(np.array([picture], dtype=object))
    latencies = []
    with grpc.InferenceServerClient(f"127.0.0.1:{port}") as asking:
        asking.infer(name, [given])
        begin = due = time.monotonic()
        while due - begin < seconds:
            if interval_s is not None:
                time.sleep(max(0.0, due - time.monotonic()))
            else:
                due = time.monotonic()
            asking.infer(name, [given])
            latencies.append(time.monotonic() - due)
            if interval_s is not None:
                due += interval_s
    answers.put((latencies, time.monotonic() - begin))


def load(
    port: int, name: str, picture: bytes, seconds: float, rate: float | None
) -> tuple[float, list[float]]:
    """Answers a second, and every latency."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    interval_s = None if rate is None else CLIENTS / rate
    clients = [
        context.Process(target=client, args=(port, name, picture, seconds, interval_s, answers))
        for _ in range(CLIENTS)
    ]
    for one in clients:
        one.start()
    results = [answers.get(timeout=seconds + 120) for _ in clients]
    for one in clients:
        one.join(30)
    return sum(len(each) / wall for each, wall in results), [one for each, _ in results for one in each]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        return measure(options.name or export(Path(directory)), options.picture, options.seconds)


def export(directory: Path) -> str:
    """The default model's artifact directory."""
    target = directory / MODEL
    subprocess.run(
        [sys.executable, "-m", "edgekit", "export", MODEL, "--formats", "paddle,onnx", "-o", target],
        stdout=subprocess.DEVNULL, timeout=300, check=True,
    )  # fmt: skip
    return str(target)


def measure(name: str, path: Path, seconds: float) -> int:
    """Measure and print; the exit code."""
    model = Path(name).name
    picture = path.read_bytes()
    bare = bare_engine(name, seconds)
    ports = [free_port() for _ in range(3)]
    flags = ("--port", "--grpc-port", "--metrics-port")
    command = [sys.executable, "-m", "edgekit", "serve", name]
    for flag, port in zip(flags, ports, strict=True):
        command += [flag, str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(ports[1], model)
        rate, _ = load(ports[1], model, picture, seconds, None)
        _, latencies = load(ports[1], model, picture, seconds, LOAD * rate)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    latencies.sort()
    median = statistics.median(latencies)
    p99 = latencies[int(0.99 * (len(latencies) - 1))]
    print(f"bare engine at its best batch size: {bare:.0f} a second")
    print(f"service, {CLIENTS} clients: {rate:.0f} a second, {rate / bare:.2f} of it (limit {SHARE_LIMIT})")
    print(
        f"at {LOAD:.0%} of that: median {median * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, "
        f"{p99 / median:.1f} times (limit {TAIL_LIMIT:g})"
    )
    return 0 if rate / bare >= SHARE_LIMIT and p99 / median <= TAIL_LIMIT else 9


def wait_until_ready(port: int, model: str) -> None:
    import tritonclient.grpc as grpc

    deadline = time.monotonic() + 60
    with grpc.InferenceServerClient(f"127.0.0.1:{port}") as asking:
        while time.monotonic() < deadline:
            try:
                if asking.is_model_ready(model):
                    return
            except grpc.InferenceServerException:
                pass
            time.sleep(0.2)
    raise SystemExit("the service did not become ready")


if __name__ == "__main__":
    sys.exit(main())
