"""A real headless Chromium for tests, spoken to over its DevTools protocol on a pipe.

Debian's, where it is installed; otherwise unpacked from its packages into the cache, without root.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# Off: everything that a browser does of its own accord, above all its calls home.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
# What belongs to the system's own loader and must be of its version.
C_LIBRARY = (
    "ld-linux", "libBrokenLocale.", "libanl.", "libc.", "libc_malloc_debug.", "libdl.", "libm.", "libmvec.",
    "libnsl.", "libnss_", "libpthread.", "libresolv.", "librt.", "libthread_db.", "libutil.",
)  # fmt: skip
ANSWER_S = 60.0
# Words of tables and headings that go on in another line.
CUT = r"""[...document.querySelectorAll('h1, h2, h3, th, td')].flatMap(cell => {
  const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), range = document.createRange();
  const cut = [];
  for (let text; text = walker.nextNode();)
    for (const word of text.data.matchAll(/[A-Za-z0-9]+/g)) {
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (range.getClientRects().length > 1) cut.push(word[0]);
    }
  return cut;
})"""

# Texts, not signs, whose contrast with their background is below WCAG's AA: 4.5, or 3 for large ones.
FAINT_TEXT = r"""(() => {
  const numbers = text => text.match(/[\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], below, share) =>
    [r, g, b].map((one, at) => one * a * share + below[at] * (1 - a * share));
  const light = colour => {
    const linear = one => one <= .04045 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4;
    const [r, g, b] = colour.map(one => linear(one / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const probe = document.body.appendChild(document.createElement('i'));
  probe.style.background = 'Canvas';
  const canvas = numbers(getComputedStyle(probe).backgroundColor).slice(0, 3);
  probe.remove();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = new Set();
  for (let text; text = walker.nextNode();) {
    const own = text.parentElement;
    if (!/[\p{L}\d]/u.test(text.data) || own.closest('script, style, datalist, option, title')) continue;
    if (!own.checkVisibility()) continue;
    let share = 1, ground = canvas;
    const chain = [];
    for (let one = own; one; one = one.parentElement) chain.unshift(getComputedStyle(one));
    for (const style of chain) {
      share *= style.opacity;
      ground = over(numbers(style.backgroundColor), ground, share);
    }
    const style = chain.at(-1), ink = own.closest('svg') ? style.fill : style.color;
    const pair = [light(over(numbers(ink), ground, share)), light(ground)].sort((a, b) => b - a);
    const ratio = (pair[0] + .05) / (pair[1] + .05), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.add(`${text.data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return [...found];
})()"""


def find_chromium(cache: Path) -> tuple[Path, dict[str, str]]:
    """The program and what its environment needs; the test skips where there is none and none to be had."""
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found), {}
    from edgekit.errors import ToolError
    from edgekit.toolchain.fetch.apt import fetch_packages

    root, libraries = cache / "chromium", cache / "chromium-libraries"
    try:
        architecture = subprocess.run(
            ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
        ).stdout.strip()
        fetch_packages(["chromium"], architecture=architecture, into=root,
            dependencies=True, only=("usr/lib/**/*", "lib/**/*"),
        )  # fmt: skip
    except (OSError, ToolError) as error:
        pytest.skip(f"no Chromium here and none to be had: {error}")
    libraries.mkdir(exist_ok=True)
    for path in root.glob("**/lib/*-linux-gnu/**/*.so*"):
        if not path.name.startswith(C_LIBRARY):
            with contextlib.suppress(FileExistsError):
                (libraries / path.name).symlink_to(path)
    return root / "usr/lib/chromium/chromium", {"LD_LIBRARY_PATH": str(libraries)}


def _fonts(directory: Path) -> dict[str, str]:
    """matplotlib's own fonts: text has the same widths on every machine, and there is text at all."""
    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"
    place = directory / "fonts.conf"
    place.write_text(
        f"<fontconfig><dir>{fonts}</dir><cachedir>{directory}/font-cache</cachedir></fontconfig>\n"
    )
    return {"FONTCONFIG_FILE": str(place)}


@dataclass
class Tab:
    """One page: what it asked the network for, what it complained about, and what it looks like."""

    browser: Browser
    session: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    loaded: bool = False

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, session=self.session, **parameters)

    def hear(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(parameters["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Page.loadEventFired":
            self.loaded = True

    def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def faint(self) -> list[str]:
        """Texts that are hard to read in light or in dark, with everything unfolded."""
        self.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        found = []
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            self.call("Emulation.setEmulatedMedia", features=features)
            found += [f"{scheme}: {one}" for one in self.evaluate(FAINT_TEXT)]
        return found

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """The page as printed on A4, the background left out as browsers do."""
        answer = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(answer["data"])


class Browser:
    """A running Chromium; one answer is awaited at a time."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests = requests
        self._answers = answers
        self._buffer = b""
        self._number = 0
        self._tabs: dict[str, Tab] = {}

    def open(self, url: str, *, width: int, height: int, mobile: bool = False, dark: bool = False) -> Tab:
        """Load a page in a window of this size in CSS pixels, and wait until it is there."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        for domain in ("Page", "Network", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile}
        tab.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        tab.call("Emulation.setEmulatedMedia", features=scheme)
        tab.loaded = False
        answer = tab.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        deadline = time.monotonic() + ANSWER_S
        while not tab.loaded:
            self._hear(deadline)
        return tab

    def call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events on the way go to their tabs."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._requests.write(json.dumps(message).encode() + b"\0")
        self._requests.flush()
        deadline = time.monotonic() + ANSWER_S
        while True:
            answer = self._hear(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def _hear(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("Chromium does not answer")
            piece = os.read(self._answers.fileno(), 1 << 20)
            if not piece:
                raise EOFError("Chromium has ended")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message and message.get("sessionId") in self._tabs:
            self._tabs[message["sessionId"]].hear(message["method"], message["params"])
        return message


@contextlib.contextmanager
def running_chromium(directory: Path, cache: Path) -> Iterator[Browser]:
    """A browser with a fresh profile in `directory`, ended afterwards."""
    program, environment = find_chromium(cache)
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    # Chromium speaks on descriptors 3 and 4, which this process may use for something else.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, from_write)]
    for end in (to_read, from_write):
        os.close(end)
    redirect = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
    log = directory / "chromium.log"
    with log.open("wb") as errors:
        chromium = subprocess.Popen(
            ["bash", "-c", redirect, "bash", program, *FLAGS, f"--user-data-dir={directory}/profile"],
            env={**os.environ, **environment, **_fonts(directory), "HOME": str(directory)},
            pass_fds=theirs,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )
    for end in theirs:
        os.close(end)
    try:
        with os.fdopen(to_write, "wb") as requests, os.fdopen(from_read, "rb") as answers:
            yield Browser(requests, answers)
    except EOFError as error:
        raise AssertionError(f"{error}: {log.read_text(errors='replace')[-2000:]}") from error
    finally:
        chromium.kill()
        chromium.wait()
