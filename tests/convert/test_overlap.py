"""Exports of one lane overlap: one is finished while Paddle's process builds the next one's model."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from edgekit.convert.exporting.export import Status, export
from edgekit.convert.exporting.overlap import Export, Stop, overlapped
from edgekit.convert.exporting.plan import ExportRequest
from edgekit.convert.manifest import verify_files
from edgekit.toolchain.paddle import environment_directory
from tests.conftest import require_paddle


def recorded(name: str, ends: str, log: list[str]) -> Export[str]:
    """Record what an export does: it ends `at once`, `after waiting`, `in Paddle`, or `well`."""
    try:
        if ends != "at once":
            if ends == "after waiting":
                yield Stop.WAITS
            log.append(f"{name} asked")
            yield Stop.WAITS
            log.append(f"{name} built")
            if ends != "in Paddle":
                yield Stop.BUILT
                log.append(f"{name} written")
        yield f"{name} done"
    finally:
        log.append(f"{name} closed")


def exports(ends: dict[str, str], log: list[str]) -> Iterator[Export[str]]:
    return (recorded(name, end, log) for name, end in ends.items())


def test_a_model_is_written_while_paddle_builds_the_next_and_never_two_are_built() -> None:
    log: list[str] = []
    done = list(overlapped(exports({"a": "well", "b": "well", "c": "well"}, log)))
    assert done == ["a done", "b done", "c done"]
    steps = ["a asked", "a built", "b asked", "a written", "b built"]
    steps += ["c asked", "b written", "c built", "c written"]
    assert [line for line in log if "closed" not in line] == steps


@pytest.mark.parametrize("end", ["at once", "after waiting", "in Paddle"])
@pytest.mark.parametrize("place", range(3))
def test_outcomes_keep_their_order_whatever_becomes_of_one(end: str, place: int) -> None:
    ends = {name: end if number == place else "well" for number, name in enumerate("abc")}
    log: list[str] = []
    assert list(overlapped(exports(ends, log))) == ["a done", "b done", "c done"]
    if end == "after waiting" and place:
        waiting, before = "abc"[place], "abc"[place - 1]
        assert log.index(f"{before} written") < log.index(f"{waiting} asked"), "it waits with nothing held"
    assert {line for line in log if "closed" in line} == {"a closed", "b closed", "c closed"}


def test_an_interruption_closes_both_exports() -> None:
    log: list[str] = []
    running = overlapped(exports({"a": "well", "b": "well", "c": "well"}, log))
    assert next(running) == "a done"
    running.close()
    assert log[-2:] == ["b closed", "a closed"]


def test_a_model_that_fails_in_paddles_process_is_named_and_the_others_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_paddle()
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "others.pdparams"
    weights.write_bytes(pickle.dumps({"fc.weight": np.zeros((9, 7), np.float32)}, protocol=2))
    requests = [
        ExportRequest(model=model, weights=source)
        for model, source in (
            ("PPLCNet_x0_25", "random"), ("PPLCNet_x0_35", str(weights)), ("PPLCNet_x0_5", "random"),
        )
    ]  # fmt: skip
    told: list[str] = []
    outcomes = export(requests, progress=print, finished=lambda outcome: told.append(outcome.name))
    assert [outcome.status for outcome in outcomes] == [Status.EXPORTED, Status.FAILED, Status.EXPORTED]
    assert told == [outcome.name for outcome in outcomes] == [request.model for request in requests]
    assert "others.pdparams into PPLCNet_x0_35" in str(outcomes[1].error)
    assert not outcomes[1].directory.exists()
    for outcome in (outcomes[0], outcomes[2]):
        assert outcome.manifest is not None and outcome.manifest.name == outcome.name
        verify_files(outcome.manifest, outcome.directory)
        assert not list(outcome.directory.glob(".export-*"))


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[str, list[bool]]]:
    """A mirror without files, or below `stalls` with the beginnings of all, and whether x0_25 was there when
    it was asked. Of the cache there is Paddle's environment alone.
    """
    require_paddle()
    written = tmp_path / "models" / "PPLCNet_x0_25" / "manifest.json"
    asked, over = list[bool](), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(written.exists())
            if not self.path.startswith("/stalls/"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(bytes(1000))
            over.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        (tmp_path / "cache").mkdir()
        if environment_directory().exists():
            (tmp_path / "cache/paddle").symlink_to(environment_directory())
        monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.chdir(tmp_path)
        yield f"http://127.0.0.1:{running.server_address[1]}", asked
        over.set()
        running.shutdown()


def test_a_model_is_written_before_the_next_ones_weights_are_downloaded(
    mirror: tuple[str, list[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_MIRROR", mirror[0])
    requests = [
        ExportRequest(model="PPLCNet_x0_25", weights="random", formats=("paddle",)),
        ExportRequest(model="PPLCNet_x0_35", formats=("paddle",)),
    ]
    outcomes = export(requests, progress=print)
    assert [outcome.status for outcome in outcomes] == [Status.EXPORTED, Status.FAILED]
    assert mirror[1] == [True]


def test_ctrl_c_ends_several_jobs_of_which_one_downloads(
    mirror: tuple[str, list[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_MIRROR", f"{mirror[0]}/stalls")
    words = ["export", "PPLCNet_x0_35", "PPLCNet_x0_5", "--formats", "paddle", "--no-verify", "--jobs", "2"]
    child = subprocess.Popen(
        [sys.executable, "-m", "edgekit", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not mirror[1] and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 130
    finally:
        child.kill()
        child.wait(10)
