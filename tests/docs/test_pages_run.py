"""Every command and program of README.md and docs/ runs as it stands there, in a clone, in the page's order.

Pages name files of the reader's own, such as `page.png`: the clone has these. SERIAL, ports and the board's
address are replaced by those that are here. What cannot run here is named below with its reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.toolchain.adb import find_adb
from edgekit.toolchain.build.runtimes import AARCH64, find_runtime
from edgekit.toolchain.cache import cache_root
from tests.conftest import REPOSITORY
from tests.docs.fences import DOCUMENTS, Step, command_lines, steps
from tests.pages import render_page, write_pages
from tests.ports import free_port
from tests.transports.sshd import Sshd

DOC_ORI = "PPLCNet_x1_0_doc_ori"
LEFT_OUT = {
    "make ": "sets the clone up, or runs these tests",
    ". .venv/bin/activate": "the clone uses the environment of the tests",
    "pip install ": "what it installs is installed, and it is not published",
    "--weights pretrained": "downloads official weights",
    "edgekit fetch ": "downloads an official model",
    "DIR/imagenet_00_243.jpg": "answers for a picture that a line before has fetched",
    "--data DIR --list DIR/list.txt": "measures on pictures that the line before has fetched",
    "--ray HEAD:6379": "needs a cluster",
    "ssh://user@other": "needs a second board",
    "--adb-server lab1:5037": "needs two other computers",
    "results/phone.json sd845.json": "needs the result of that phone",
    "edgekit import …/": "imports what the line before has downloaded",
    "--engine paddle-gpu,": "needs a GPU",
    "--engine-option backend=opencl": "needs a device with OpenCL",
    "edgekit apk install ": "needs a phone: the virtual device has no package manager",
    "edgekit apk bench ": "needs a phone",
    "--adb-server lab-host": "needs another computer",
    "--master HOST:PORT": "needs several machines",
    "cmake -S ": "needs Debian's libstb-dev; tests/native/test_classify.py runs it with the header's place",
}
NEEDS_PADDLE_LITE = ("--engine paddlelite,onnxruntime", f"profile {DOC_ORI} --device")
"""Commands that need Paddle Lite's ARM library, which is no package of a registry."""

# One short process a point: how figures come to be valid has tests of its own.
SHORTER = {
    "edgekit bench ": " --processes 1 --repeats 2 --warmup 0 --min-secs 0 --cooldown 0",
    "edgekit train ": " --epochs 1",
}
RANDOM_WEIGHTS = """
import paddle
from edgekit.zoo.registry import find_model
from edgekit.zoo.weights import build_with_weights
network, _ = build_with_weights(find_model("PPLCNet_x0_25"), "random", num_classes=2)
paddle.save(network.state_dict(), "output/best_model.pdparams")
"""
SERVERS = re.compile(r"edgekit serve (?!.*--settings-only)|mlserver start ")
RUN = {
    "README.md", "app.md", "board.md", "cpp.md", "estimate.md", "int8.md", "own-model.md", "phone.md",
    "predict.md", "profile.md", "results.md", "server.md", "service.md", "training.md",
}  # fmt: skip
"""Pages that a test below runs."""


def is_left_out(step: Step) -> bool:
    no_library = find_runtime("paddlelite", AARCH64) is None
    parts = (*LEFT_OUT, *(NEEDS_PADDLE_LITE if no_library else ()))
    return any(part in step.text for part in parts)


def test_every_page_with_commands_is_run() -> None:
    with_commands = {document.name for document in DOCUMENTS if command_lines(document)}
    assert with_commands == RUN  # the index's completion is run by test_examples.py for every shell


@pytest.mark.parametrize("part", [*LEFT_OUT, *NEEDS_PADDLE_LITE])
def test_what_is_left_out_stands_in_a_page(part: str) -> None:
    assert any(part in line for document in DOCUMENTS for line in command_lines(document))


@dataclass
class Clone:
    """A clone of this repository with the files that the pages name."""

    directory: Path
    environment: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)
    server: subprocess.Popen[bytes] | None = None

    def run(self, step: Step) -> str:
        """Return the stdout of a command or program, which must end well."""
        text = step.text
        for name, here in self.names.items():
            text = text.replace(name, here)
        if step.python:
            return self._call([sys.executable, "-c", text])
        if text.startswith("edgekit serve "):
            ports = {"--port": "8080", "--grpc-port": "8081", "--metrics-port": "8082"}
            text += "".join(f" {o} {self.names[port]}" for o, port in ports.items() if f"{o} " not in text)
        if SERVERS.match(text):
            self.serve(text)
            return ""
        for start, options in SHORTER.items():
            if text.startswith(start):
                text = re.sub(r"\s+#.*", "", text) + options
        return self._call(["bash", "-o", "pipefail", "-c", text])

    def _call(self, words: list[str]) -> str:
        done = subprocess.run(
            words, cwd=self.directory, env=self._environment(), capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{words[-1]}\n{done.stderr[-3000:]}"
        return done.stdout

    def _environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, **self.environment, "PATH": path, "NO_COLOR": "1"}

    def page(self, name: str) -> None:
        """Run a page; a service that it starts serves until the next one or the end of the page."""
        directory = REPOSITORY if name == "README.md" else REPOSITORY / "docs"
        try:
            for step in steps(directory / name):
                if not is_left_out(step):
                    self.run(step)
        finally:
            self.end_server()

    def serve(self, text: str) -> None:
        """Start a service and wait until its model is ready; the one before it ends."""
        self.end_server()
        with (self.directory / "server.log").open("wb") as log:
            self.server = subprocess.Popen(
                ["bash", "-c", f"exec {text}"],
                cwd=self.directory,
                env=self._environment(),
                stdout=log,
                stderr=log,
            )
        scheme = "https" if "--tls-cert" in text else "http"
        ready = f"{scheme}://localhost:{self.names['8080']}/v2/health/ready"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.server.poll() is None:
            words = ["curl", "-sf", "--cacert", "cert.pem", ready]
            if subprocess.run(words, cwd=self.directory, capture_output=True, timeout=10).returncode == 0:
                return
            time.sleep(0.2)
        pytest.fail(f"{text}\n{(self.directory / 'server.log').read_text()[-3000:]}")

    def end_server(self) -> None:
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            assert self.server.wait(60) == 0, (self.directory / "server.log").read_text()[-3000:]
            self.server = None


def write_files(directory: Path) -> None:
    """The pictures, lists and labels that pages name, beside the pages."""
    names = write_pages(directory / "photos", range(2))  # the emulated device takes seconds for each
    (directory / "val_list.txt").write_text("".join(f"{name} {label}\n" for name, label in names))
    shutil.copytree(directory / "photos", directory / "scans")
    for name in ("page.png", "page.jpg", "photo.jpg", "hen.jpg"):
        assert cv2.imwrite(str(directory / name), render_page(0))
    (directory / "labels.txt").write_text("0\n90\n180\n270\n")
    for label, folder in enumerate(("cats", "dogs")):
        (directory / "data" / folder).mkdir(parents=True)
        for index in range(4):
            picture = np.ascontiguousarray(np.rot90(render_page(index), label))
            assert cv2.imwrite(str(directory / "data" / folder / f"{index}.jpg"), picture)
    for name, indices in (("train", (0, 1)), ("val", (2, 3))):
        lines = [
            f"{folder}/{index}.jpg {label}\n"
            for label, folder in enumerate(("cats", "dogs"))
            for index in indices
        ]
        (directory / "data" / f"{name}_list.txt").write_text("".join(lines))
    (directory / "data" / "labels.txt").write_text("cat\ndog\n")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    base = tmp_path_factory.mktemp("pages")
    subprocess.run(["git", "clone", "-q", REPOSITORY, base / "clone"], check=True, timeout=120)
    # The devices of others who use this machine are none of these commands' business.
    (base / "cache").mkdir()
    for part in cache_root().iterdir():
        if part.name != "virtual":
            (base / "cache" / part.name).symlink_to(part)
    environment = {
        "EDGEKIT_CACHE": str(base / "cache"),
        "HOME": str(base),
        "ANDROID_ADB_SERVER_PORT": str(free_port()),
    }
    write_files(base / "clone")
    made = Clone(base / "clone", environment)
    try:
        yield made
    finally:
        for line in ("edgekit virtual stop --all", f"{find_adb()} kill-server"):
            with contextlib.suppress(AssertionError):
                made.run(Step(line))


@pytest.fixture(scope="module")
def doc_ori(clone: Clone) -> Path:
    clone.run(Step(f"edgekit export {DOC_ORI}"))
    return clone.directory / "models" / DOC_ORI


@pytest.mark.slow
def test_the_readme(clone: Clone) -> None:
    clone.page("README.md")


@pytest.fixture(scope="module")
def int8(clone: Clone, doc_ori: Path) -> None:
    """The page on int8 has run, so that its model has int8 artifacts."""
    for folder, count in (("pages", 10), ("others", 100)):
        (clone.directory / folder).mkdir()
        for index in range(count):
            page = cv2.resize(render_page(index), (320, 400))
            for turn in range(4):
                picture = np.ascontiguousarray(np.rot90(page, turn))
                assert cv2.imwrite(str(clone.directory / folder / f"{index}_{turn}.png"), picture)
    clone.page("int8.md")


@pytest.mark.slow
def test_the_pages_that_need_a_device(clone: Clone, doc_ori: Path, int8: None) -> None:
    clone.names["SERIAL"] = json.loads(clone.run(Step("edgekit virtual start --json")))["address"]
    clone.page("predict.md")
    clone.page("profile.md")
    phone = steps(REPOSITORY / "docs" / "phone.md")
    without = phone.index(Step("edgekit virtual start"))
    for step in (*phone[:without], Step("edgekit virtual stop"), *phone[without:]):
        if not is_left_out(step):
            clone.run(step)


@pytest.mark.slow
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs an x86-64 machine as the board")
def test_the_page_on_boards(clone: Clone, sshd: Sshd) -> None:
    clone.names["ssh://user@board"] = sshd.url
    clone.run(Step("edgekit export PPLCNet_x0_5 --weights random"))
    clone.page("board.md")


@pytest.mark.slow
def test_the_page_on_servers(clone: Clone, doc_ori: Path, int8: None) -> None:
    shutil.copytree(doc_ori, clone.directory / "models" / "mine", dirs_exist_ok=True)
    clone.page("server.md")


@pytest.mark.slow
def test_the_page_on_own_models(clone: Clone, doc_ori: Path) -> None:
    if not (doc_ori / "inference.x86.nb").exists():
        pytest.skip("opt here makes no x86 .nb")
    (clone.directory / "my_model").mkdir()
    for suffix in ("pdmodel", "pdiparams"):
        shutil.copy(doc_ori / f"inference.{suffix}", clone.directory / "my_model")
    shutil.rmtree(clone.directory / "models" / "mine", ignore_errors=True)
    clone.page("own-model.md")


@pytest.mark.slow
def test_the_page_on_estimates(clone: Clone) -> None:
    clone.page("estimate.md")


@pytest.mark.slow
def test_the_page_on_training(clone: Clone) -> None:
    shutil.rmtree(clone.directory / "models" / "mine", ignore_errors=True)
    for step in steps(REPOSITORY / "docs" / "training.md"):
        if not is_left_out(step):
            clone.run(step)
        if step.text.startswith("edgekit train "):
            # `export` refuses what an epoch of four pictures has taught; it takes random weights.
            clone.run(Step(RANDOM_WEIGHTS, python=True))


@pytest.mark.slow
def test_the_pages_on_the_app_and_cpp(clone: Clone, doc_ori: Path) -> None:
    clone.page("app.md")
    clone.page("cpp.md")
    program = clone.run(Step("edgekit toolchain build classifier")).strip()
    answered = clone.run(Step(f"{program} models/{DOC_ORI} page.png --top-k 2"))
    assert json.loads(answered)["label_names"][0] == "0"


@pytest.mark.slow
def test_the_page_on_results(clone: Clone, doc_ori: Path) -> None:
    for name in ("20261128T104500Z-host", "nightly"):
        clone.run(Step(f"edgekit bench {DOC_ORI} --host -o results/{name}.json"))
    clone.run(
        Step(f"edgekit eval {DOC_ORI} --data photos --list val_list.txt -o results/eval-PPLCNet_x1_0.json")
    )
    clone.page("results.md")


@pytest.mark.slow
def test_the_page_on_the_service(clone: Clone, doc_ori: Path) -> None:
    clone.names |= {"8080": str(free_port()), "8081": str(free_port()), "8082": str(free_port())}
    clone.page("service.md")
