"""Build the sdist and the wheel of the commit that is checked out, the same bytes each time, and check them.

`make release` leaves them in dist/. Only what git has committed goes in. Both are built twice, in directories
of their own, and compared; `twine check` reads them; each is installed into a fresh environment, where
`edgekit` starts and finds its own files. Tools come from the package registry by name.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
TOOLS = ("build", "twine", "setuptools>=70.1", "wheel")
TIMEOUT_S = 1200


def run(*words: str | Path, cwd: Path = REPOSITORY, env: dict[str, str] | None = None) -> str:
    """Run a command and return its output; end with it where it fails."""
    done = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        sys.exit(
            f"error: {' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout.strip()


def environment(place: Path, *requirements: str | Path) -> Path:
    """Make a virtual environment with these packages; return its directory of programs."""
    run(sys.executable, "-m", "venv", place)
    run(place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
    return place / "bin"


def build(tools: Path, place: Path, epoch: int) -> dict[str, bytes]:
    """Build both from the committed files in a directory of their own; return their contents by name."""
    source = place / "source"
    source.mkdir(parents=True)
    archive = place / "source.tar"
    run("git", "archive", "--output", archive, "HEAD")
    with tarfile.open(archive) as files:
        files.extractall(source, filter="data")
    words = ("-m", "build", "--no-isolation", "--outdir", place / "dist")
    run(tools / "python", *words, cwd=source, env={"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"})
    return {
        path.name: settled(path.read_bytes(), epoch) if path.name.endswith(".tar.gz") else path.read_bytes()
        for path in sorted((place / "dist").iterdir())
    }


def settled(sdist: bytes, epoch: int) -> bytes:
    """Return an sdist without the times, owners and order that setuptools takes from the machine."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(sdist)) as old,
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=epoch) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return packed.getvalue()


def check(artifact: Path, place: Path) -> None:
    """Install an artifact into a fresh environment and start edgekit there, in an empty directory."""
    programs = environment(place / "venv", artifact)
    empty = place / "empty"
    empty.mkdir()
    said = run(programs / "edgekit", "--version", cwd=empty)
    version = artifact.name.split("-")[1].removesuffix(".tar.gz")
    if not said.endswith(version):
        sys.exit(f"error: {artifact.name}: it says {said!r}")
    run(programs / "edgekit", "models", "list", cwd=empty)
    run(programs / "edgekit", "toolchain", "list", cwd=empty)


def main() -> None:
    """Build, compare, check."""
    if run("git", "status", "--porcelain"):
        print("release: what is not committed is left out", file=sys.stderr)
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct"))
    with tempfile.TemporaryDirectory(prefix="edgekit-release-") as name:
        place = Path(name)
        tools = environment(place / "tools", *TOOLS)
        first, second = (build(tools, place / each, epoch) for each in ("first", "second"))
        if differing := [file for file in first if first[file] != second.get(file)]:
            sys.exit(f"error: two builds differ in {', '.join(differing)}")
        out = REPOSITORY / "dist"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for file, content in first.items():
            (out / file).write_bytes(content)
        run(tools / "twine", "check", "--strict", *sorted(out.iterdir()))
        for path in sorted(out.iterdir()):
            check(path, place / f"check-{path.name}")
            print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
