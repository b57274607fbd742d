"""The service under load against the bare engine.   scripts/bench_service.py [NAME]

One process with sixteen clients (grpc.aio, a connection each) asks for JPEGs of about 500x375 pixels, one a
request, and compares every answer with `edgekit predict`. Throughput is set beside what the bare engine
reaches with the same threads at its best batch size (limit 0.9 of it); then requests come at 70 % of that
rate, and their p99 is set beside their median (limit three times). What each side spent of the processor is
shown too: clients, service and engine share this machine. Without NAME: the document orientation network,
exported for this.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
import numpy as np
from bench_predict import SIZE, write_pictures
from sides import children
from tritonclient.grpc import service_pb2 as protocol

MODEL = "PPLCNet_x1_0_doc_ori"
CLIENTS = 16
SHARE_LIMIT = 0.9
TAIL_LIMIT = 3.0
LOAD = 0.7
BATCHES = (1, 2, 4, 8)
PICTURES = 64
# `predict` rounds to five decimals; batches of other sizes differ in the last bits.
TOLERANCE = 2e-5
METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Question:
    """A request as it goes over the wire, and its answer: class_ids and scores."""

    content: bytes
    class_ids: list[int]
    scores: list[float]
    pictures: int


@dataclass
class Observed:
    """One load: latencies in seconds, what of it was answered wrongly, processor time by process."""

    latencies_s: list[float] = field(default_factory=list)
    wrong: int = 0
    wall_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)


def edgekit(*words: str | Path) -> str:
    command = [sys.executable, "-m", "edgekit", *map(str, words)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=600, check=True).stdout


@contextlib.contextmanager
def artifacts(name: str | None) -> Iterator[tuple[str, Path]]:
    """An exported model, `name` or one exported for this, and a directory that is deleted at the end."""
    with tempfile.TemporaryDirectory() as directory:
        if name is None:
            name = str(Path(directory) / MODEL)
            edgekit("export", MODEL, "--formats", "paddle,onnx", "-o", name)
        yield name, Path(directory)


def bare_engine(name: str, seconds: float) -> dict[int, float]:
    """Inputs a second of the engine alone, one thread, by batch size."""
    words = [
        "--host",
        "--engine",
        "onnxruntime",
        "--threads",
        "1",
        "--batch-size",
        ",".join(map(str, BATCHES)),
    ]
    said = edgekit("bench", name, *words, "--min-secs", str(seconds / len(BATCHES)), "--json")
    rates = {}
    for point in json.loads(said)["points"]:
        samples = [sample for process in point["processes"] for sample in process["samples_ns"]]
        rates[point["batch_size"]] = point["batch_size"] / statistics.median(samples) * 1e9
    return rates


def write_questions(name: str, directory: Path, per_request: int, tensors: bool) -> list[Question]:
    """Requests over different pictures, with the answers that `predict` gives."""
    write_pictures(directory, PICTURES, SIZE, seed=0)
    answers = json.loads(edgekit("predict", name, directory, "--json"))
    questions = []
    for start in range(0, len(answers), per_request):
        part = answers[start : start + per_request]
        contents = [Path(answer["filename"]).read_bytes() for answer in part]
        request = protocol.ModelInferRequest(model_name=Path(name).name)
        given = request.inputs.add()
        if tensors:
            rows = preprocessed(name, contents)
            given.name, given.datatype, given.shape[:] = "x", "FP32", rows.shape
            request.raw_input_contents.append(rows.tobytes())
        else:
            given.name, given.datatype, given.shape[:] = "image", "BYTES", [len(contents)]
            request.raw_input_contents.append(
                b"".join(len(content).to_bytes(4, "little") + content for content in contents)
            )
        ids = [one for answer in part for one in answer["class_ids"]]
        scores = [one for answer in part for one in answer["scores"]]
        questions.append(Question(request.SerializeToString(), ids, scores, len(part)))
    return questions


def preprocessed(name: str, contents: Sequence[bytes]) -> np.ndarray:
    from edgekit.convert.manifest import find_artifacts
    from edgekit.vision.decode import decode
    from edgekit.vision.preprocess import Preprocessor

    preprocessor = Preprocessor(find_artifacts(name)[1].preprocess)
    return np.stack([preprocessor(decode(content, "picture")) for content in contents])


def is_right(answer: bytes, question: Question) -> bool:
    """Whether an answer is complete and `predict`'s."""
    response = protocol.ModelInferResponse.FromString(answer)
    outputs = dict(zip((one.name for one in response.outputs), response.raw_output_contents, strict=True))
    ids = np.frombuffer(outputs["class_ids"], "<i8").tolist()
    scores = np.frombuffer(outputs["scores"], "<f4").tolist()
    return ids == question.class_ids and all(
        abs(one - other) <= TOLERANCE for one, other in zip(scores, question.scores, strict=True)
    )


async def client(
    number: int,
    port: int,
    questions: Sequence[Question],
    seconds: float,
    interval_s: float | None,
    seen: Observed,
) -> None:
    """Ask until the time is up, without a pause or every `interval_s`; latency counts from the due time."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        ask = channel.unary_unary(METHOD)
        begin = time.monotonic()
        # Clients do not all come at once.
        due = begin if interval_s is None else begin + interval_s * number / CLIENTS
        at = number * len(questions) // CLIENTS
        while due - begin < seconds:
            if interval_s is not None:
                await asyncio.sleep(due - time.monotonic())
            question = questions[at % len(questions)]
            answer = await ask(question.content)
            now = time.monotonic()
            seen.latencies_s.append(now - due)
            seen.wrong += not is_right(answer, question)
            due = now if interval_s is None else due + interval_s
            at += 1


async def load(
    port: int, server: int, questions: Sequence[Question], seconds: float, rate: float | None
) -> Observed:
    """All clients at once; `rate` in requests a second."""
    seen = Observed()
    # Pauses of the clients' own would be taken for the service's.
    gc.collect()
    gc.freeze()
    interval_s = None if rate is None else CLIENTS / rate
    before, begin = cpu_times_s(server), time.monotonic()
    await asyncio.gather(
        *[client(number, port, questions, seconds, interval_s, seen) for number in range(CLIENTS)]
    )
    seen.wall_s = time.monotonic() - begin
    after = cpu_times_s(server)
    seen.cpu_s = {name: after[name] - before[name] for name in after}
    return seen


def cpu_times_s(server: int) -> dict[str, float]:
    """Processor seconds so far of the clients, the service and the runner, which is its child."""
    return {
        "clients": process_s(os.getpid()),
        "service": process_s(server),
        "engine": sum(map(process_s, children(server))),
    }


def process_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(port: int, model: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    request = protocol.ModelReadyRequest(name=model).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelReady")
        while time.monotonic() < deadline and server.poll() is None:
            try:
                if protocol.ModelReadyResponse.FromString(ask(request)).ready:
                    return
            except grpc.RpcError:
                pass
            time.sleep(0.2)
    raise SystemExit("the service did not become ready")


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def show_cpu(seen: Observed, pictures: int) -> str:
    each = {name: spent / pictures * 1e3 for name, spent in seen.cpu_s.items()}
    parts = ", ".join(f"{name} {spent:.2f}" for name, spent in each.items())
    cores = os.cpu_count() or 1
    return (
        f"processor ms a picture: {parts}; {sum(seen.cpu_s.values()) / seen.wall_s:.2f} of {cores} cores busy"
    )


def measure(name: str, directory: Path, options: argparse.Namespace) -> int:
    """Measure and print; the exit code."""
    questions = write_questions(name, directory / "pictures", options.per_request, options.tensors)
    rates = bare_engine(name, options.seconds)
    bare = max(rates.values())
    ports = [free_port() for _ in range(3)]
    command = [sys.executable, "-m", "edgekit", "serve", name, *options.serve.split()]
    for flag, port in zip(("--port", "--grpc-port", "--metrics-port"), ports, strict=True):
        command += [flag, str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(ports[1], Path(name).name, server)
        asyncio.run(load(ports[1], server.pid, questions, 2.0, None))
        full = asyncio.run(load(ports[1], server.pid, questions, options.seconds, None))
        asked = len(full.latencies_s) / full.wall_s
        paced = asyncio.run(load(ports[1], server.pid, questions, options.seconds, LOAD * asked))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    rate = asked * options.per_request
    median, p99 = statistics.median(paced.latencies_s), percentile(paced.latencies_s, 0.99)
    form = "preprocessed tensors" if options.tensors else "JPEGs"
    print("bare engine: " + ", ".join(f"{value:.0f}/s at batch {size}" for size, value in rates.items()))
    print(f"service, {CLIENTS} clients, {options.per_request} {form} a request: {rate:.0f} pictures/s, "
          f"{rate / bare:.2f} of the engine's best (limit {SHARE_LIMIT})")  # fmt: skip
    print(show_cpu(full, len(full.latencies_s) * options.per_request))
    print(
        f"at {LOAD:.0%} of that: median {median * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, "
        f"{p99 / median:.1f} times (limit {TAIL_LIMIT:g})"
    )
    wrong = full.wrong + paced.wrong
    print(f"{len(full.latencies_s) + len(paced.latencies_s)} answers, {wrong} not those of predict")
    return 0 if rate / bare >= SHARE_LIMIT and p99 / median <= TAIL_LIMIT and not wrong else 9


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", help="an exported model")
    parser.add_argument("--per-request", type=int, default=1, help="pictures a request (1)")
    parser.add_argument("--tensors", action="store_true", help="send preprocessed inputs, not JPEGs")
    parser.add_argument("--seconds", type=float, default=20, help="of each of three measurements (20)")
    parser.add_argument("--serve", default="", help="further options of edgekit serve, in one word")
    options = parser.parse_args()
    with artifacts(options.name) as (name, directory):
        return measure(name, directory, options)


if __name__ == "__main__":
    sys.exit(main())
