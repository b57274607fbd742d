"""The service under clients of which some are mean.   scripts/bench_service_hostile.py [NAME]

64 clients (grpc.aio, a connection each) ask without a pause for 60 s; one request in twenty is a hostile
one: overflowing tensors, broken and huge pictures, compressed bombs, cut tensors, half requests, junk, calls
of the repository API. No innocent request may fail or be answered otherwise than by `edgekit predict`, the
p99 of the innocent stays under three times their median, and the service's memory at the end is within 10 %
of that after the warm-up, which has the same requests. Clients, service and engine share this machine.
Without NAME: the document orientation network, exported for this.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import io
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
from bench_service import METHOD, Question, artifacts, free_port, is_right, percentile, write_questions
from PIL import Image
from sides import children
from tritonclient.grpc import service_pb2 as protocol

CLIENTS = 64
HOSTILE_SHARE = 0.05
TAIL_LIMIT = 3.0
MEMORY_LIMIT = 1.1
WARM_UP_S = 20.0
# What a hostile client of REST waits for an answer.
PATIENCE_S = 20.0
Attack = Callable[[], Awaitable[str]]


@dataclass
class Observed:
    """Innocent latencies, s; what went wrong with innocent requests; how the hostile ones ended."""

    latencies_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    hostile: Counter[str] = field(default_factory=Counter)


def request(
    name: str, datatype: str, shape: Sequence[int], raw: bytes, *, model: str, identity: str = ""
) -> bytes:
    asked = protocol.ModelInferRequest(model_name=model, id=identity, raw_input_contents=[raw])
    asked.inputs.add(name=name, datatype=datatype, shape=shape)
    return asked.SerializeToString()


def attacks(model: str, ports: Sequence[int], picture: bytes, channel: grpc.aio.Channel) -> dict[str, Attack]:
    """Hostile requests by name; each returns how it ended."""
    rest, _, _ = ports
    path = f"/v2/models/{model}/infer"
    shape = (1, 3, 224, 224)
    huge = io.BytesIO()
    Image.new("RGB", (16000, 16000)).save(huge, "JPEG", quality=30)
    given = {"name": "x", "datatype": "FP32", "shape": shape, "data": [1] * 2_000_000}
    bomb = gzip.compress(bytes(512 << 20), 9)

    def call(content: bytes, method: str = METHOD, **further: object) -> Attack:
        async def ask() -> str:
            try:
                await channel.unary_unary(method)(content, timeout=PATIENCE_S, **further)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

        return ask

    def image(content: bytes, **further: str) -> Attack:
        return call(
            request(
                "image", "BYTES", [1], len(content).to_bytes(4, "little") + content, model=model, **further
            )
        )

    def post(
        body: bytes, *headers: str, path: str = path, length: int | None = None, wait: bool = True
    ) -> Attack:
        lines = [f"POST {path} HTTP/1.1", "Host: a", *headers]
        lines.append(f"Content-Length: {len(body) if length is None else length}")

        async def ask() -> str:
            reader, writer = await asyncio.open_connection("127.0.0.1", rest)
            try:
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                if not wait:
                    return "left"
                answer = await asyncio.wait_for(reader.read(100), PATIENCE_S)
                return answer[9:12].decode(errors="replace") or "closed"
            finally:
                writer.close()

        return ask

    def raw(content: bytes, hold_s: float) -> Attack:
        async def ask() -> str:
            _, writer = await asyncio.open_connection("127.0.0.1", rest)
            writer.write(content)
            # Held by nobody: the client goes on.
            asyncio.get_running_loop().call_later(hold_s, writer.close)
            return "held"

        return ask

    async def give_up() -> str:
        asked = channel.unary_unary(METHOD)(request("image", "BYTES", [1], packed, model=model))
        await asyncio.sleep(0.005)
        asked.cancel()
        return "cancelled"

    packed = len(picture).to_bytes(4, "little") + picture
    overflow = np.full(shape, 3e38, np.float32).tobytes()
    unload = protocol.RepositoryModelUnloadRequest(model_name=model).SerializeToString()
    return {
        "overflow": call(request("x", "FP32", shape, overflow, model=model)),
        "no picture": image(b"none"),
        "cut picture": image(picture[: len(picture) // 2]),
        "huge picture": image(huge.getvalue()),
        "cut tensor": call(request("x", "FP32", shape, b"\0" * 16, model=model)),
        "no message": call(b"\xff" * 100),
        "no model": call(request("x", "FP32", shape, overflow, model=f"nobody {time.time()}")),
        "identity": image(picture, identity="a\r\nb: ä"),
        "compressed": call(bytes(20 << 20), compression=grpc.Compression.Gzip),
        "unload": call(unload, "/inference.GRPCInferenceService/RepositoryModelUnload"),
        "bomb": post(bomb, "Content-Encoding: gzip"),
        "picture as body": post(picture, "Content-Type: image/jpeg"),
        "nested": post(b'{"inputs":' + b"[" * 1_000_000),
        "numbers": post(json.dumps({"inputs": [given]}).encode()),
        "too large": post(b"", length=1 << 40, wait=False),
        "half a body": raw(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n{{".encode(), 30),
        "half a head": raw(f"POST {path} HTTP/1.1\r\n".encode(), 30),
        "junk": raw(os.urandom(1000), 1),
        "unload over REST": post(b"", path=f"/v2/repository/models/{model}/unload"),
        "give up": give_up,
    }  # fmt: skip


async def client(
    number: int,
    port: int,
    questions: Sequence[Question],
    until: float,
    mean: dict[str, Attack],
    seen: Observed,
) -> None:
    """Ask until the time is up, without a pause."""
    dice = random.Random(number)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        ask = channel.unary_unary(METHOD)
        at = number
        while (begin := time.monotonic()) < until:
            if dice.random() < HOSTILE_SHARE:
                name = dice.choice(sorted(mean))
                try:
                    ended = await mean[name]()
                except (OSError, asyncio.TimeoutError) as error:
                    ended = type(error).__name__
                seen.hostile[f"{name}: {ended}"] += 1
                continue
            question = questions[at % len(questions)]
            at += 1
            try:
                answer = await ask(question.content, timeout=PATIENCE_S)
            except grpc.aio.AioRpcError as error:
                seen.failures.append(f"{error.code().name}: {error.details()}")
                continue
            seen.latencies_s.append(time.monotonic() - begin)
            if not is_right(answer, question):
                seen.failures.append("another answer than predict's")


async def load(
    name: str,
    ports: Sequence[int],
    server: int,
    questions: Sequence[Question],
    picture: bytes,
    seconds: float,
) -> tuple[Observed, list[list[float]]]:
    """The warm-up and the measured time; what was seen in the latter, and memory after each, MB."""
    seen, memory = Observed(), []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[1]}") as channel:
        mean = attacks(Path(name).name, ports, picture, channel)
        for duration in (WARM_UP_S, seconds):
            seen = Observed()
            until = time.monotonic() + duration
            await asyncio.gather(
                *[client(number, ports[1], questions, until, mean, seen) for number in range(CLIENTS)]
            )
            # The last of the huge pictures, which are decoded one after the other.
            await mean["huge picture"]()
            await asyncio.sleep(1)
            memory.append(resident_megabytes(server))
    return seen, memory


def resident_megabytes(server: int) -> list[float]:
    """Memory of the service and of its runners."""
    group = (server, *children(server))
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in group]
    return [count * os.sysconf("SC_PAGE_SIZE") / (1 << 20) for count in pages]


def measure(name: str, directory: Path, options: argparse.Namespace) -> int:
    """Measure and print; the exit code."""
    questions = write_questions(name, directory / "pictures", 1, tensors=False)
    picture = next((directory / "pictures").iterdir()).read_bytes()
    ports = [free_port() for _ in range(3)]
    command = [sys.executable, "-m", "edgekit", "serve", name, *options.serve.split()]
    for flag, port in zip(("--port", "--grpc-port", "--metrics-port"), ports, strict=True):
        command += [flag, str(port)]
    log = directory / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(command, stderr=file, stdout=file)
    try:
        while "serving " not in log.read_text():
            if server.poll() is not None:
                raise SystemExit(f"the service ended: {log.read_text()}")
            time.sleep(0.2)
        seen, memory = asyncio.run(load(name, ports, server.pid, questions, picture, options.seconds))
    finally:
        begin = time.monotonic()
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(40)
        ended_s = time.monotonic() - begin
    median, p99 = statistics.median(seen.latencies_s), percentile(seen.latencies_s, 0.99)
    for ended, count in sorted(seen.hostile.items()):
        print(f"  {count:4} x {ended}")
    asked = len(seen.latencies_s) + len(seen.failures)
    failed = len(seen.failures)
    print(f"{CLIENTS} clients, {options.seconds:g} s: {asked} innocent requests, {failed} failed")
    for reason, count in Counter(seen.failures).most_common(5):
        print(f"  {count} x {reason}")
    print(
        f"median {median * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, {p99 / median:.1f} times (limit {TAIL_LIMIT})"
    )
    before, after = map(sum, memory)
    parts = [" + ".join(f"{part:.0f}" for part in one) for one in memory]
    print(f"memory of service + runner {parts[0]} MB after the warm-up, {parts[1]} MB at the end, "
          f"{after / before:.2f} times (limit {MEMORY_LIMIT:g})")  # fmt: skip
    print(f"ended with {server.returncode} in {ended_s:.1f} s; {log.stat().st_size} bytes of log")
    good = not seen.failures and server.returncode == 0 and "Traceback" not in log.read_text()
    if options.log:
        print(log.read_text()[-options.log :])
    return 0 if good and p99 / median < TAIL_LIMIT and after / before <= MEMORY_LIMIT else 9


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", help="an exported model")
    parser.add_argument("--seconds", type=float, default=60, help="of the measurement (60)")
    parser.add_argument("--serve", default="", help="further options of edgekit serve, in one word")
    parser.add_argument("--log", type=int, default=0, help="characters of the service's log to show (0)")
    options = parser.parse_args()
    with artifacts(options.name) as (name, directory):
        return measure(name, directory, options)


if __name__ == "__main__":
    sys.exit(main())
