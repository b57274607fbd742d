"""`edgekit fetch` against a real HTTP server that truncates, stalls, redirects and serves wrong bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import RunCli

NAME = "PPLCNet_x0_25"
HOST = "paddle-imagenet-models-name.bj.bcebos.com"


def model_tar(filling: bytes = b"program") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in ("inference.pdmodel", "inference.pdiparams"):
            info = tarfile.TarInfo(f"{NAME}_infer/{name}")
            info.size = len(filling) * 1000
            tar.addfile(info, io.BytesIO(filling * 1000))
    return content.getvalue()


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how it behaves; what follows is the mirrored address."""

    content: bytes
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        behaviour, _, rest = self.path.lstrip("/").partition("/")
        if behaviour in ("redirects", "circles"):
            self.send_response(302)
            self.send_header("Location", f"/{'good' if behaviour == 'redirects' else 'circles'}/{rest}")
            self.end_headers()
            return
        body = b"<html>log in first</html>" if behaviour == "wrong" else self.content
        self.send_response(200)
        if behaviour != "hides":
            self.send_header("Content-Length", "many" if behaviour == "babbles" else str(len(body)))
        self.end_headers()
        if behaviour in ("truncates", "hides"):
            body = body[: len(body) // 3]
        try:
            for start in range(0, len(body), 1000):
                self.wfile.write(body[start : start + 1000])
                if behaviour in ("stalls", "crawls"):
                    time.sleep(0.05 if behaviour == "stalls" else 5)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    handler = type("Handler", (Handler,), {"content": model_tar(), "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", handler
        running.shutdown()
        thread.join()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"EDGEKIT_CACHE": str(tmp_path / "cache"), "no_proxy": "127.0.0.1", "EDGEKIT_MIRROR": ""}


def fetch(run_cli: RunCli, tmp_path: Path, environment: dict[str, str], *words: str) -> tuple[int, str, str]:
    result = run_cli(["fetch", "--what", "inference", *words], cwd=tmp_path, env=environment)
    return result.exit_code, result.stdout, result.stderr


def kept(tmp_path: Path) -> set[str]:
    """Files in the cache but locks and the log of the last failure."""
    return {
        path.name
        for path in (tmp_path / "cache").rglob("*")
        if path.is_file() and not path.name.endswith((".lock", ".owner", "last-failure.txt"))
    }


@pytest.mark.parametrize("behaviour", ["good", "redirects", "stalls"])
def test_what_comes_whole_is_kept_with_its_hash(
    server: tuple[str, type[Handler]],
    tmp_path: Path,
    environment: dict[str, str],
    run_cli: RunCli,
    behaviour: str,
) -> None:
    address, handler = server
    code, out, err = fetch(
        run_cli, tmp_path, environment, NAME, "PPLCNet_x0_5", "--mirror", f"{address}/{behaviour}", "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert [each["model"] for each in found] == [NAME, "PPLCNet_x0_5"]
    assert {each["sha256"] for each in found} == {hashlib.sha256(handler.content).hexdigest()}
    assert f"/{behaviour}/{HOST}/dygraph/inference/{NAME}_infer.tar" in handler.asked
    asked = len(handler.asked)
    assert fetch(run_cli, tmp_path, environment, NAME, "--mirror", address)[0] == 0
    assert len(handler.asked) == asked


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("wrong", "no archive of a Paddle model"),
        ("truncates", "trying again"),
        ("hides", "no archive of a Paddle model: it is damaged (unexpected end of data)"),
        ("babbles", "its answer makes no sense"),
        ("circles", "Exceeded 30 redirects"),
    ],
)
def test_what_is_not_the_file_leaves_nothing(
    server: tuple[str, type[Handler]],
    tmp_path: Path,
    environment: dict[str, str],
    run_cli: RunCli,
    behaviour: str,
    said: str,
) -> None:
    code, out, err = fetch(run_cli, tmp_path, environment, NAME, "--mirror", f"{server[0]}/{behaviour}")
    assert (code, out) == (4, "")
    assert said in err
    assert str(tmp_path / "cache" / "weights" / f"{NAME}_infer.tar") in err
    assert kept(tmp_path) == set()


def test_other_bytes_than_at_first_use_are_refused(
    server: tuple[str, type[Handler]], tmp_path: Path, environment: dict[str, str], run_cli: RunCli
) -> None:
    address, handler = server
    assert fetch(run_cli, tmp_path, environment, NAME, "--mirror", f"{address}/good")[0] == 0
    (tmp_path / "cache" / "weights" / f"{NAME}_infer.tar").unlink()
    handler.content = model_tar(b"changed")
    code, _, err = fetch(run_cli, tmp_path, environment, NAME, "--mirror", f"{address}/good")
    assert code == 4
    assert "was seen at first use" in err
    assert f"edgekit fetch {NAME} --what inference --trust-new" in err
    assert kept(tmp_path) == {f"{NAME}_infer.tar.sha256"}
    code, _, err = fetch(run_cli, tmp_path, environment, NAME, "--trust-new", "--mirror", f"{address}/good")
    assert code == 0, err
    assert hashlib.sha256(handler.content).hexdigest() in err
    assert fetch(run_cli, tmp_path, environment, NAME, "--mirror", f"{address}/good")[0] == 0


def test_a_file_that_is_not_the_one_seen_at_first_use_is_named(
    server: tuple[str, type[Handler]], tmp_path: Path, environment: dict[str, str], run_cli: RunCli
) -> None:
    address, _ = server
    assert fetch(run_cli, tmp_path, environment, NAME, "--mirror", f"{address}/good")[0] == 0
    path = tmp_path / "cache" / "weights" / f"{NAME}_infer.tar"
    path.write_bytes(model_tar(b"changed"))
    code, _, err = fetch(run_cli, tmp_path, environment, NAME, "--mirror", str(tmp_path / "nowhere"))
    assert code == 4
    assert f"{path} is not what was seen at first use" in err
    assert f"to accept what lies there now: edgekit fetch {NAME} --what inference --trust-new" in err
    # Reachable again, what the publisher has takes its place.
    assert fetch(run_cli, tmp_path, environment, NAME, "--mirror", f"{address}/good")[0] == 0
    assert path.read_bytes() == model_tar()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopping_leaves_nothing_that_is_taken_for_the_file(
    server: tuple[str, type[Handler]],
    tmp_path: Path,
    environment: dict[str, str],
    run_cli: RunCli,
    how: signal.Signals,
) -> None:
    address, handler = server
    words = ["fetch", NAME, "PPLCNet_x0_5", "--what", "inference", "--mirror", f"{address}/crawls"]
    running = subprocess.Popen(
        [sys.executable, "-m", "edgekit", *words],
        cwd=tmp_path, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while len(handler.asked) < 2:
        assert running.poll() is None
        time.sleep(0.02)
    asked_to_stop = time.monotonic()
    running.send_signal(how)
    running.communicate(timeout=60)
    assert time.monotonic() - asked_to_stop < 4
    assert running.returncode == (130 if how is signal.SIGINT else -how)
    if how is signal.SIGINT:
        assert kept(tmp_path) == set()
    assert fetch(run_cli, tmp_path, environment, NAME, "PPLCNet_x0_5", "--mirror", f"{address}/good")[0] == 0
    assert len(kept(tmp_path)) == 4


def test_models_without_weights_are_fetched_as_inference_models(
    server: tuple[str, type[Handler]], tmp_path: Path, environment: dict[str, str], run_cli: RunCli
) -> None:
    address, handler = server
    words = ["fetch", "ResNet50_rsb", "--mirror", f"{address}/good"]
    done = run_cli(words, cwd=tmp_path, env=environment)
    assert done.exit_code == 0, done.stderr
    assert handler.asked == [f"/good/{HOST}/dygraph/inference/ResNet50_rsb_infer.tar"]


def test_directories_and_file_addresses(tmp_path: Path, environment: dict[str, str], run_cli: RunCli) -> None:
    place = tmp_path / "mirror" / HOST / "dygraph" / "inference"
    place.mkdir(parents=True)
    (place / f"{NAME}_infer.tar").write_bytes(model_tar())
    for source in (str(tmp_path / "mirror"), (tmp_path / "mirror").as_uri()):
        code, _, err = fetch(
            run_cli,
            tmp_path,
            {**environment, "EDGEKIT_CACHE": str(tmp_path / source[:4])},
            NAME,
            "--mirror",
            source,
        )
        assert code == 0, err


def test_one_that_fails_does_not_keep_the_others_from_it(
    tmp_path: Path, environment: dict[str, str], run_cli: RunCli
) -> None:
    place = tmp_path / "mirror" / HOST / "dygraph" / "inference"
    place.mkdir(parents=True)
    (place / f"{NAME}_infer.tar").write_bytes(model_tar())
    code, out, err = fetch(
        run_cli, tmp_path, environment, "PPLCNet_x0_5", NAME, "--mirror", str(tmp_path / "mirror")
    )
    assert code == 4
    assert f"{NAME}_infer.tar" in out
    assert "PPLCNet_x0_5_infer.tar" in err
