"""Hostile inputs over commands: what no file, no place and no number of a stranger may bring about.

Unlike `damage`, which spoils good files at random, these are meant to do harm: to hang, to fill the memory,
to be taken for code, to write elsewhere, to pass as a bug of edgekit.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.damage import DOCUMENTED, KINDS, QUICK, SHORT

LIMIT_S = 60.0
LIMIT_BYTES = 1 << 30
MARKER = "acted"
PWN = "../../../pwned"

# Where a value of a text is replaced.
SCALAR = re.compile(r'"[^"\n]*"(?!\s*:)|(?<=[=:,\[ ])-?\d+(?:\.\d+)?\b|\btrue\b|\bfalse\b|\bnull\b')


@dataclass(frozen=True)
class Case:
    """One hostile input: what is put where, and the command that meets it.

    Attributes:
        family: Kind of harm.
        name: Words that tell it from the others.
        prepare: Puts the input into a copy of the good files.
        words: The command.
        environment: Variables of the command.
        shell: A shell line around the command, `{}`; None runs it directly.
    """

    family: str
    name: str
    prepare: Callable[[Path], None]
    words: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    shell: str | None = None


@dataclass(frozen=True)
class Outcome:
    """Outcome of a case; `findings` are its faults."""

    case: Case
    exit_code: int | None
    seconds: float
    peak_bytes: int
    findings: tuple[str, ...]


def texts(marker: Path) -> list[tuple[str, str]]:
    """Values for a scalar of JSON, TOML or YAML, as they are written there."""
    call = f"__import__('os').system('touch {marker}')"
    return [
        ("5,000 digits", "9" * 5000),
        ("1e999", "1e999"),
        ("1e9", "1000000000"),
        ("-1", "-1"),
        ("nan", "nan"),
        ("inf", "inf"),
        (".inf", ".inf"),
        ("NUL", '"\\u0000"'),
        ("upwards", json.dumps(PWN)),
        ("absolute", '"/tmp/edgekit-pwned"'),
        ("escapes", '"\\u001b]0;x\\u0007\\u001b[2J"'),
        ("shell", json.dumps(f"$(touch {marker})")),
        ("backticks", json.dumps(f"`touch {marker}`")),
        ("expression", json.dumps(call)),
        ("template", json.dumps("{{" + call + "}}")),
        ("format", '"{0.__class__.__mro__}"'),
        ("tag", f"!!python/object/apply:os.system ['touch {marker}']"),
        ("long", json.dumps("x" * 1_000_000)),
        ("lone surrogate", '"\\ud800"'),
        ("deep", "[" * 5000 + "]" * 5000),
        ("option", '"--help"'),
        ("device", '"/dev/zero"'),
        ("empty", '""'),
        ("list", "[]"),
    ]


class _Acts:
    def __init__(self, marker: str) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self._marker}",)


def contents(marker: Path) -> list[tuple[str, bytes]]:
    """Whole files."""
    tag = f"!!python/object/apply:os.system ['touch {marker}']"
    png = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return [
        ("pickle", pickle.dumps(_Acts(str(marker)), 2)),
        ("state of pickles", pickle.dumps({"w": _Acts(str(marker))})),
        ("YAML tag", f"PreProcess: {tag}\n".encode()),
        ("nothing", b""),
        ("zeros", bytes(100_000)),
        ("no UTF-8", b"\xff\xfe\xfa" * 1000),
        ("NULs in lines", b"a\0b 1\n" * 100),
        ("one line", b"x" * 3_000_000),
        ("huge picture", png + _chunk(b"IDAT", zlib.compress(bytes(60_000)))),
        ("shell", b"#!/bin/sh\ntouch " + os.fsencode(marker)),
        (
            "many aliases",
            b"a: &a [x,x,x,x,x,x,x,x,x]\n"
            + b"".join(
                f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n".encode()
                for n in range(9)
            ),
        ),
    ]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 << 30)


def _circle(path: Path) -> None:
    path.symlink_to(path.name)


def _socket(path: Path) -> None:
    # A socket's path has at most 107 bytes, a path below /proc/self/fd few.
    place = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{place}/{path.name}")
    os.close(place)


def _directory(path: Path) -> None:
    path.mkdir()


SPECIAL = (_fifo, _endless, _sparse, _circle, _socket, _directory)
# Files of the seeds beyond those of `damage`, with the commands that read them.
MORE = {
    "soc.toml": ("estimate", "PPLCNet_x1_0", "--soc", "soc.toml"),
    "list.txt": ("eval", "net", "--data", ".", "--list", "list.txt", "--no-install"),
    "picture.png": ("predict", "net", "picture.png", "--workers", "1", "--no-install"),
    "run/checkpoint.pdstates": (
        "train",
        "PPLCNet_x0_25",
        "--data",
        ".",
        "--train-list",
        "list.txt",
        "--val-list",
        "list.txt",
        "-o",
        "run",
        "--resume",
        "--epochs",
        "1",
    ),
    "wheel.whl": ("toolchain", "install", "onnxruntime-runtime", "--archive", "wheel.whl"),
    "lite.tar.gz": (
        "toolchain",
        "install",
        "paddlelite-runtime",
        "--archive",
        "lite.tar.gz",
        "--version",
        "2.12",
    ),
}
# `bench` with numbers that the file says may rightly measure for years.
READERS = {kind.file: tuple(dict.fromkeys(kind.commands)) for kind in KINDS if not kind.listed}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    path.write_bytes(content)


def _replaced(path: Path, number: int, value: str) -> None:
    text = path.read_text()
    found = list(SCALAR.finditer(text))
    chosen = found[number % len(found)]
    path.write_text(text[: chosen.start()] + value + text[chosen.end() :])


def cases(seed: int, marker: Path) -> Iterator[Case]:
    """Hostile inputs without end, in an order that the seed shuffles."""
    source = random.Random(seed)
    made = [*_files(marker), *_arguments(marker), *_surroundings()]
    while True:
        source.shuffle(made)
        yield from made
        made = [*_files(marker), *_values(marker, source), *_values(marker, source)]


def _files(marker: Path) -> Iterator[Case]:
    commands = {**READERS, **{name: (words,) for name, words in MORE.items()}}
    for file, readers in commands.items():
        for index, (name, content) in enumerate(contents(marker)):
            words = readers[index % len(readers)]
            yield Case(
                "content", f"{name} as {file}", lambda place, f=file, c=content: _write(place / f, c), words
            )
        for index, make in enumerate(SPECIAL):
            words = readers[index % len(readers)]

            def special(place: Path, file: str = file, make: Callable[[Path], None] = make) -> None:
                _write(place / file, b"")
                (place / file).unlink()
                make(place / file)

            yield Case("special file", f"{make.__name__[1:]} as {file}", special, words)


def _values(marker: Path, source: random.Random) -> Iterator[Case]:
    for kind in KINDS:
        if kind.name in ("manifest", "yml", "config", "result", "card"):
            for name, value in texts(marker):
                number = source.randrange(10_000)
                yield Case(
                    "value",
                    f"{name} at {number} of {kind.file}",
                    lambda place, f=kind.file, n=number, v=value: _replaced(place / f, n, v),
                    source.choice(kind.commands),
                )


def _nothing(_place: Path) -> None:
    pass


def _arguments(marker: Path) -> Iterator[Case]:
    odd = (
        "",
        "..",
        PWN,
        "/dev/zero",
        "a\nb",
        "\x1b[2J",
        "x" * 5000,
        "9" * 5000,
        "-1",
        "nan",
        "inf",
        "1e999",
        "0x10",
        os.fsdecode(b"caf\xe9"),
        f"$(touch {marker})",
        "٣",
        "1,,2",
        "--",
        "@x",
        "%s%n",
        "{}",
        "*",
    )
    places: tuple[tuple[str, ...], ...] = (
        ("bench", "{}", "--host", *SHORT),
        ("bench", "net", "--host", "--threads", "{}", "--no-install"),
        ("bench", "net", "--host", "--engine", "{}", "--no-install"),
        ("bench", "net", "--host", "--cores", "{}", *SHORT),
        ("bench", "net", "--host", "--engine-option", "{}", *SHORT),
        ("bench", "--resume", "{}"),
        ("predict", "{}", "picture.png", "--no-install"),
        ("predict", "net", "{}", "--no-install"),
        ("predict", "net", "picture.png", "--labels", "{}"),
        ("predict", "net", "picture.png", "--top-k", "{}"),
        ("export", "{}", "--weights", "random", *QUICK),
        ("export", "PPLCNet_x0_25", "--weights", "{}", *QUICK),
        ("export", "PPLCNet_x0_25", "--name", "{}", "--weights", "random", "--input-shape", "3,1,1", *QUICK),
        ("export", "PPLCNet_x0_25", "--input-shape", "{}", "--weights", "random", *QUICK),
        ("import", "{}", "--name", "x", *QUICK),
        ("import", "net.onnx", "--name", "{}", *QUICK),
        ("import", "net.onnx", "--name", "x", "--input-shape", "{}", *QUICK),
        ("report", "{}"),
        ("compare", "good.json", "{}"),
        ("compare", "good.json", "result.json", "--fail-above", "{}"),
        ("models", "show", "{}"),
        ("fetch", "{}", "--mirror", "/none"),
        ("estimate", "{}"),
        ("estimate", "PPLCNet_x1_0", "--soc", "{}"),
        ("estimate", "PPLCNet_x1_0", "--threads", "{}"),
        ("cache", "clean", "{}"),
        ("toolchain", "install", "{}"),
        ("quantize", "net", "--calibration", "{}"),
        ("eval", "net", "--data", ".", "--list", "{}"),
        ("bundle", "{}", "-o", "app"),
        ("serve", "{}", "--settings-only", "s"),
        ("{}",),
    )
    for number, words in enumerate(places):
        for index, value in enumerate(odd):
            if (number + index) % 3 == 0 or words[0] in ("export", "import"):
                filled = tuple(value if word == "{}" else word for word in words)
                yield Case("argument", f"{value[:20]!r} in {' '.join(words)}", _nothing, filled)


def _surroundings() -> Iterator[Case]:
    quick = (
        ("models", "list"),
        ("report", "result.json"),
        ("predict", "net", "picture.png", "--no-install"),
        ("report", "nothing.json"),
        ("models", "show", "net", "--json"),
    )
    shells = (
        "{} >&-",
        "{} 2>&-",
        "{} <&- >&- 2>&-",
        "{} >/dev/full",
        "{} 2>/dev/full",
        "{} | true",
        "ulimit -f 1; {} > out",
        "ulimit -n 24; {}",
        "mkdir gone; cd gone; rmdir ../gone; {}",
        "umask 777; {}",
        "trap '' PIPE; {} | head -c 1",
    )
    variables = (
        ("COLUMNS", "0"),
        ("COLUMNS", "x"),
        ("TMPDIR", "/nonexistent"),
        ("HOME", "/nonexistent"),
        ("LC_ALL", "C"),
        ("PYTHONIOENCODING", "ascii"),
        ("EDGEKIT_CACHE", "/dev/null"),
        ("EDGEKIT_MIRROR", "/dev/zero"),
        ("NO_COLOR", ""),
        ("EDGEKIT_OPT", "/dev/zero"),
        ("PATH", "/nonexistent"),
        ("ANDROID_ADB_SERVER_PORT", "9" * 50),
        ("TERM", "\x1b"),
        ("OMP_NUM_THREADS", "x"),
        ("SOURCE_DATE_EPOCH", "-1"),
        ("ANDROID_SERIAL", PWN),
    )
    for words in quick:
        for shell in shells:
            yield Case("stream or limit", f"{shell} of {' '.join(words)}", _nothing, words, shell=shell)
        for variable in variables:
            yield Case(
                "variable", f"{variable[0]}={variable[1][:20]} of {words[0]}", _nothing, words, (variable,)
            )
    for answer in (b"\xff" * 100, b"OKAYffff\xff", b"OKAY0005\0\0\0\0\0", b"FAIL", b"OKAY" * 100_000, b""):
        for words in (
            ("devices",),
            ("push", "net", "--no-install"),
            ("bench", "net", "--no-install", "--engine", "onnxruntime"),
        ):
            variable = ("EDGEKIT_HOSTILE_ADB", answer[:2000].hex())
            yield Case("adb server", f"{answer[:12]!r} to {words[0]}", _nothing, words, (variable,))


@contextlib.contextmanager
def _adb(answer: bytes) -> Iterator[int]:
    """A server that answers each connection with the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    with connection:
                        connection.settimeout(5)
                        connection.recv(1000)
                        connection.sendall(answer)
                except OSError:
                    if server.fileno() < 0:
                        return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def run_case(case: Case, seeds: Path, scratch: Path, marker: Path) -> Outcome:
    """Meet one case in a process of its own and look at what it left."""
    with tempfile.TemporaryDirectory(prefix="hostile-", dir=scratch) as name:
        outside = Path(name)
        place, temporary = outside / "a" / "b" / "c" / "work", outside / "tmp"
        temporary.mkdir()
        shutil.copytree(seeds, place, symlinks=True)
        shutil.copy(place / "models" / "card.toml", place / "soc.toml")
        (place / "list.txt").write_text("picture.png 1\npicture.png 0\n")
        (place / "run").mkdir()
        (place / "json.py").write_text(f"open({MARKER!r}, 'w')")  # a user's directory is no place for modules
        case.prepare(place)
        environment = {
            **os.environ,
            "NO_COLOR": "1",
            "TMPDIR": str(temporary),
            "OMP_NUM_THREADS": "1",
            **dict(case.environment),
        }
        answer = environment.pop("EDGEKIT_HOSTILE_ADB", "")
        before = _listing(outside, place, temporary)
        # Always: where none answered, edgekit would start a server that stays.
        with _adb(bytes.fromhex(answer)) as port:
            if "ANDROID_ADB_SERVER_PORT" not in dict(case.environment):
                environment["ANDROID_ADB_SERVER_PORT"] = str(port)
            ended = _run(case, place, environment)
        exit_code, seconds, peak_bytes, _ = ended
        findings = list(_findings(case, *ended))
        if written := _listing(outside, place, temporary) - before:
            findings.append(f"wrote outside: {sorted(written)[:3]}")
        if list(marker.parent.glob(f"{marker.name}*")) or list(place.rglob(MARKER)):
            findings.append("ran code")
            for each in marker.parent.glob(f"{marker.name}*"):
                each.unlink()
        if Path("/tmp/edgekit-pwned").exists():
            findings.append("wrote to /tmp/edgekit-pwned")
        left = [
            each.name
            for each in temporary.iterdir()
            if each.name != ".ses" and not each.name.startswith("adb.")
        ]
        if left and exit_code is not None:
            findings.append(f"left {left[:3]} in TMPDIR")
    return Outcome(case, exit_code, seconds, peak_bytes, tuple(findings))


def _listing(outside: Path, place: Path, temporary: Path) -> set[str]:
    inside = (str(place), str(temporary))
    return {str(path) for path in outside.rglob("*") if not str(path).startswith(inside)}


def _run(case: Case, place: Path, environment: dict[str, str]) -> tuple[int | None, float, int, str]:
    """Return exit code (None after the limit), seconds, peak memory of the largest process, and stderr."""
    words = [sys.executable, "-m", "edgekit", *case.words]
    if case.shell is not None:
        quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
        words = ["/bin/bash", "-c", f"set -o pipefail; {case.shell.replace('{}', quoted)}"]
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            words,
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        timer = threading.Timer(LIMIT_S, _kill, (child.pid,))
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        timed_out = not timer.is_alive()
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        _kill(child.pid)
        seconds = time.monotonic() - started
        said.seek(0)
        stderr = said.read(100_000).decode(errors="replace")
    return None if timed_out else child.returncode, seconds, usage.ru_maxrss * 1024, stderr


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 9)


def _findings(
    case: Case, exit_code: int | None, seconds: float, peak_bytes: int, stderr: str
) -> Iterator[str]:
    allowed = DOCUMENTED | (
        {1, 126, 127, 141, 153} if case.shell and "edgekit" not in stderr and exit_code != 1 else set()
    )
    if exit_code is None:
        yield f"no end after {LIMIT_S:g} s"
    elif exit_code not in allowed:
        yield f"exit code {exit_code}: {stderr[-300:]}"
    if "a bug in edgekit" in stderr or "Traceback" in stderr:
        yield f"a bug or traceback: {stderr[-400:]}"
    if peak_bytes > LIMIT_BYTES:
        yield f"{peak_bytes >> 20} MiB of memory"
    if "\x1b" in stderr or "\x07" in stderr:
        yield "printed control characters"
