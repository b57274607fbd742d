"""Downloads against a real HTTP server in this process that answers well, badly, or not at all."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgekit.errors import OutputError, ToolError
from edgekit.toolchain.fetch.download import download, mirrored

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """`/file` is whole, `/breaks/N` after N that broke off, `/busy/N` after N times 503, `/drops/N` none."""

    asked: dict[str, int]

    def do_GET(self) -> None:
        self.asked[self.path] = self.asked.get(self.path, 0) + 1
        kind, _, count = self.path.strip("/").partition("/")
        failing = kind in ("breaks", "busy", "drops") and self.asked[self.path] <= int(count)
        if kind == "drops" and failing:
            return
        if kind == "missing" or (kind == "busy" and failing):
            self.send_error(404 if kind == "missing" else 503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if failing else CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, int]]]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "EDGEKIT_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("edgekit.toolchain.fetch.download.RETRY_PAUSE_S", 0.01)
    asked: dict[str, int] = {}
    handler = type("Handler", (Handler,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", asked
        running.shutdown()
        thread.join()


Server = tuple[str, dict[str, int]]


def test_fetches_a_file_and_tells_how_far_it_is(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    target = tmp_path / "new" / "file"
    digest = download(f"{server[0]}/file", target, progress=lambda *now: told.append(now))
    assert target.read_bytes() == CONTENT
    assert digest == SHA256
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [received for received, _ in told] == sorted(received for received, _ in told)


@pytest.mark.parametrize("path", ["/breaks/2", "/busy/2", "/drops/2"])
def test_tries_again_where_that_may_help(server: Server, tmp_path: Path, path: str) -> None:
    assert download(server[0] + path, tmp_path / "file") == SHA256
    assert server[1][path] == 3


@pytest.mark.parametrize(
    ("path", "reason", "times"), [("/breaks/9", "IncompleteRead", 3), ("/missing", "404", 1)]
)
def test_gives_up_and_leaves_nothing(
    server: Server, tmp_path: Path, path: str, reason: str, times: int
) -> None:
    with pytest.raises(ToolError, match=reason) as caught:
        download(server[0] + path, tmp_path / "file")
    assert server[0] + path in caught.value.message
    assert server[1][path] == times
    assert list(tmp_path.iterdir()) == []


def test_a_silent_host_is_given_up_in_time(server: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(ToolError, match=r"no answer within 0\.5 s"):
            download(f"http://127.0.0.1:{silent.getsockname()[1]}/file", tmp_path / "file", timeout_s=0.5)
        assert time.monotonic() - started < 5
    assert list(tmp_path.iterdir()) == []


def test_a_closed_port_is_given_up_at_once(server: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(ToolError, match="refused"):
        download(f"http://127.0.0.1:{port}/file", tmp_path / "file")
    assert time.monotonic() - started < 5


def test_local_sources(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "a file"
    source.write_bytes(CONTENT)
    assert download(source.as_uri(), tmp_path / "one") == SHA256
    assert download(str(source), tmp_path / "two") == SHA256
    for missing in (tmp_path / "missing", tmp_path):
        with pytest.raises(ToolError, match=str(missing)):
            download(str(missing), tmp_path / "three")
    assert not (tmp_path / "three").exists()


def test_a_mirror_stands_in_for_every_host(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = tmp_path / "mirror"
    (mirror / "example.org" / "a").mkdir(parents=True)
    (mirror / "example.org" / "a" / "file").write_bytes(CONTENT)
    monkeypatch.setenv("EDGEKIT_MIRROR", str(mirror))
    assert download("https://example.org/a/file", tmp_path / "file") == SHA256
    monkeypatch.setenv("EDGEKIT_MIRROR", "http://mirror.example/pub/")
    assert mirrored("https://example.org/a?b=c") == "http://mirror.example/pub/example.org/a?b=c"
    assert mirrored("file:///a") == "file:///a"


def test_an_unwritable_destination_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=str(tmp_path / "file")):
        download(f"{server[0]}/file", tmp_path / "file" / "below")
