"""`predict` and `eval` on a Ray cluster: bad requests, and a real cluster whose workers are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.spec import Precision
from edgekit.errors import OutputError
from edgekit.predict.parts import INDEX, Form, Request, _begin
from tests import pages
from tests.conftest import CliResult
from tests.ports import free_port

MODEL = "PPLCNet_x1_0_doc_ori"
COUNT = 320
PAGES = 16
LIMIT_S = 120.0
REQUEST = Request(
    model=MODEL, artifact="0" * 64, engine="onnxruntime", precision=Precision.FP32, top_k=None,
    threshold=None, labels=None, reduced_decode=False, form=Form.JSONL, pictures=COUNT, names_sha256="1" * 64,
)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--ray", "local"], 2, "-o DIR"),
        (["--ray", "local", "-o", "parts", "--html", "a.html"], 2, "--html does not go with it"),
        (["--ray", "local", "-o", "parts", "--csv"], 2, "--csv does not go with it"),
        (["--ray", "local", "-o", "parts", "--device", "x"], 2, "--device does not go with it"),
        (["--ray", "local", "-o", "parts", "--jsonl", "--parquet"], 2, "exclude"),
        (["--parquet"], 2, "--ray ADDRESS"),
        (["-o", "parts"], 2, "with --ray the parts"),
        (["--ray", "somewhere", "-o", "parts"], 2, "--ray somewhere: neither local, auto nor HOST:PORT"),
        (["--ray", "ray://a:1", "-o", "parts"], 2, "neither local, auto nor HOST:PORT"),
        (["--ray", "local", "-o", "parts", "--engine", "auto", "--batch-size", "0"], 2, "--batch-size"),
        (["--ray", "localhost:99999", "-o", "parts"], 2, "neither local, auto nor HOST:PORT"),
    ],
)
def test_wrong_requests(
    run_inside: Callable[..., CliResult], exported: Path, arguments: list[str], code: int, said: str
) -> None:
    done = run_inside("predict", exported / MODEL, "a.jpg", *arguments)
    assert done.exit_code == code, done.stderr
    assert said in done.stderr
    assert done.stdout == ""
    assert not Path("parts").exists()


def test_without_ray_the_error_names_the_extra(
    run_inside: Callable[..., CliResult], exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run_inside("predict", exported / MODEL, "a.jpg", "--ray", "local", "-o", "parts")
    assert done.exit_code == 4
    assert "hint: pip install 'edgekit[ray]'" in done.stderr


def test_nothing_listens_at_the_address(run_inside: Callable[..., CliResult], exported: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    done = run_inside("predict", exported / MODEL, "a.jpg", "--ray", address, "-o", "parts")
    assert done.exit_code == 4
    assert f"connecting to Ray at {address}: Connection refused" in done.stderr


def test_pictures_of_a_list(run_cli: Callable[..., CliResult], exported: Path, tmp_path: Path) -> None:
    pages.write_pages(tmp_path / "my pages", range(2))
    (tmp_path / "list.txt").write_text("my pages/page_00001.jpg 1\nmy pages/page_00000.jpg\n")
    done = run_cli(["predict", MODEL, "--list", tmp_path / "list.txt", "--jsonl"], cwd=exported.parent)
    assert done.exit_code == 0, done.stderr
    assert [json.loads(line)["class_ids"][0] for line in done.stdout.splitlines()] == [1, 0]
    (tmp_path / "list.txt").write_text("\n")
    done = run_cli(["predict", MODEL, "--list", tmp_path / "list.txt"], cwd=exported.parent)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "list.txt: it is empty" in done.stderr


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names of 320 pictures for 16 pages, with a text and a picture whose name is not UTF-8 among them."""
    root = tmp_path_factory.mktemp("photos")
    listing = pages.write_pages(root / "pages", range(PAGES))
    (root / "all").mkdir()
    for number in range(COUNT):
        os.link(root / "pages" / listing[number % PAGES][0], root / "all" / f"{number:05d}.jpg")
    (root / "all" / "00100.jpg").unlink()
    (root / "all" / "00100.jpg").write_text("this is a text")
    (root / "all" / "00200.jpg").rename(root / "all" / "00200\udce9.jpg")
    return root


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of two machines with one CPU each, both of them here."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'edgekit[ray]'")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    options = {"num_cpus": 1, "object_store_memory": 128 << 20}
    made = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
    try:
        made.add_node(**options)
        yield made
    finally:
        made.shutdown()


def workers_of(raylet: int) -> list[int]:
    """Processes of a machine of the cluster that have a lane."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == raylet and b"_Worker" in command:
            found.append(int(entry.name))
    return found


def raylet_of(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def rows_of(parts: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(parts.glob("part-*.jsonl")) for line in path.open()]


@pytest.mark.slow
def test_a_killed_worker_loses_and_repeats_nothing(
    cluster: Any, run_cli: Callable[..., CliResult], exported: Path, photos: Path, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    words = [sys.executable, "-m", "edgekit", "predict", MODEL, photos / "all", "--ray", cluster.address,
             "-o", parts, "--json"]  # fmt: skip
    running = subprocess.Popen(words, cwd=exported.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        killed = wait_and_kill(cluster, parts, running)
        stdout, stderr = running.communicate(timeout=LIMIT_S)
    finally:
        running.kill()
    assert running.returncode == 3, stderr
    assert killed
    written = json.loads(stdout)
    assert (written["pictures"], written["unreadable"], written["parts_before"]) == (COUNT, 1, 0)
    assert b"error: predicting: 1 of 320 could not be read, the first: decoding " in stderr

    alone = run_cli(["predict", MODEL, photos / "all", "--jsonl"], cwd=exported.parent)
    expected = [json.loads(line) for line in alone.stdout.splitlines()]
    rows = rows_of(parts)
    assert "error" in rows.pop(100)
    assert rows == expected  # each picture once, in order, with the same scores

    # The same command computes only what is missing.
    gone = sorted(parts.glob("part-*.jsonl"))[3]
    content = gone.read_bytes()
    gone.unlink()
    again = run_cli(["predict", MODEL, photos / "all", "--ray", cluster.address, "-o", parts, "--json"],
                    cwd=exported.parent)  # fmt: skip
    assert json.loads(again.stdout)["parts_before"] == written["parts"] - 1
    assert gone.read_bytes() == content
    other = run_cli(["predict", MODEL, photos / "all", "--ray", cluster.address, "-o", parts, "--top-k", "1"],
                    cwd=exported.parent)  # fmt: skip
    assert (other.exit_code, other.stdout) == (3, "")
    assert "holds answers to another request (other top_k)" in other.stderr


@pytest.mark.slow
def test_a_directory_of_parquet_is_one_table(
    cluster: Any, run_cli: Callable[..., CliResult], exported: Path, photos: Path, tmp_path: Path
) -> None:
    from pyarrow import parquet

    words = ["predict", MODEL, photos / "pages"]
    done = run_cli([*words, "--ray", cluster.address, "-o", tmp_path / "tables", "--parquet"],
                   cwd=exported.parent)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"wrote {tmp_path}/tables: {PAGES} pictures in 2 parts\n"
    rows = parquet.read_table(tmp_path / "tables").to_pylist()
    assert [row.pop("error") for row in rows] == [None] * PAGES
    alone = run_cli([*words, "--jsonl"], cwd=exported.parent)
    assert rows == [json.loads(line) for line in alone.stdout.splitlines()]


def wait_and_kill(cluster: Any, parts: Path, running: subprocess.Popen[bytes]) -> int:
    """Kill a worker of the second machine once two parts are there; return its process."""
    raylet = raylet_of(cluster.list_all_nodes()[1])
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit and running.poll() is None:
        if len(list(parts.glob("part-*"))) >= 2 and (workers := workers_of(raylet)):
            os.kill(workers[0], signal.SIGKILL)
            return workers[0]
        time.sleep(0.05)
    raise AssertionError("no worker worked")


@pytest.mark.slow
def test_eval_on_a_cluster_that_loses_a_machine(
    cluster: Any, run_cli: Callable[..., CliResult], exported: Path, photos: Path, tmp_path: Path
) -> None:
    lines = [f"all/{number:05d}.jpg {number % 4}\n" for number in range(COUNT) if number != 200]
    (tmp_path / "list.txt").write_text("".join(lines))
    common = ["eval", MODEL, "--data", photos, "--list", tmp_path / "list.txt"]
    alone = run_cli([*common, "-o", tmp_path / "alone.json", "--json"], cwd=exported.parent)
    output = tmp_path / "spread.json"
    words = [sys.executable, "-m", "edgekit", *map(str, common), "-o", str(output), "--ray", cluster.address]
    running = subprocess.Popen([*words, "--json"], cwd=exported.parent, stdout=subprocess.PIPE)
    try:
        limit = time.monotonic() + LIMIT_S
        journal = output.with_suffix(".journal")
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 1):
            assert time.monotonic() < limit and running.poll() is None
            time.sleep(0.05)
        cluster.remove_node(cluster.list_all_nodes()[1], allow_graceful=False)
        stdout, _ = running.communicate(timeout=LIMIT_S)
    finally:
        running.kill()
    assert running.returncode == 3  # the text among the pictures
    expected, found = json.loads(alone.stdout), json.loads(stdout)
    for each in (expected, found):
        for name in ("started_at", "ended_at", "confusion_path", "disagreements_path", "wrong_path"):
            each.pop(name, None)
    assert found == expected


def test_the_index_of_a_command_that_was_killed_is_begun_anew(
    run_inside: Callable[..., CliResult], tmp_path: Path
) -> None:
    """SIGKILL between the index's temporary file and its last name."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / f".{INDEX}.0a1b2c.part").write_text("{")
    assert _begin(tmp_path / "parts", REQUEST, 8).part_size == 8
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("")
    with pytest.raises(OutputError, match="holds other files"):
        _begin(tmp_path / "other", REQUEST, 8)
