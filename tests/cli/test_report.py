"""Every format of `report` on measured, skipped, failed, emulated and unknown points."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgekit.bench.document import save_result
from edgekit.core.device import Gpu
from edgekit.core.measurement import (
    RESULT_SCHEMA_VERSION,
    InstructionCount,
    PointError,
    ProcessRun,
    Status,
    Verdict,
)
from edgekit.core.parity import Parity
from edgekit.core.spec import Precision
from edgekit.report.rows import result_rows
from edgekit.report.tables import published_tables
from tests.conftest import CliResult, RunCli
from tests.points import QUIET, point, process, result, samples

NASTY = "Own<script>|net"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A host's result and an emulated device's."""
    runs = [process(samples(3.0, seed=seed), cold_start_ns=(159 + seed) * 1_000_000) for seed in range(3)]
    error = PointError(message="paddlelite runs 1 thread(s) here", exit_code=2)
    save_result(
        tmp_path / "host.json",
        result(
            point(*runs, verdict=Verdict.VALID),
            point(*runs, requested_threads=2, verdict=Verdict.UNSTABLE, reasons=("spread by ±40%: rest",)),
            point(status=Status.SKIPPED, requested_threads=4, error=error),
            point(*runs, model=NASTY, verdict=Verdict.VALID),
            run_id="host-run",
        ),
    )
    count = InstructionCount(total=59_000_000, main_thread=58_577_000)
    save_result(
        tmp_path / "virtual.json",
        result(
            point(process((900_000_000,) * 3), engine="paddlelite", instruction_count=count),
            run_id="virtual-run", serial="127.0.0.1:1", transport="adb", soc="SM8150", emulated=True,
        ),
    )  # fmt: skip
    return tmp_path


def report(run_cli: RunCli, directory: Path, *options: str) -> str:
    done = run_cli(["report", "host.json", "virtual.json", *options], cwd=directory)
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_markdown_pastes_cleanly(files: Path, run_cli: RunCli) -> None:
    text = report(run_cli, files, "--format", "md", "--published")
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 3
    for block in blocks:
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]
        assert len({len(line) for line in lines}) == 1
    row = next(line for line in blocks[1].splitlines() if line.startswith("| PPLCNet_x1_0 |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    # Card: parameters, FLOPs, Top-1, Top-5; measured beside PaddleClas's 2.46 ms on an Intel CPU.
    assert cells[1:5] == ["2.96", "160.81", "71.32", "90.03"]
    assert (cells[5], cells[6]) == ("3.00", "2.46")
    assert cells[7].endswith("*")
    assert cells[9] == "skipped"


def test_the_phones_column_stands_beside_counts_not_time(files: Path, run_cli: RunCli) -> None:
    text = report(run_cli, files, "--published")
    emulated = text[text.index("EMULATED") :]
    assert "58.58 M" in emulated
    assert "published(Snapdragon 855, ms)" in emulated
    assert "10.78" in emulated
    assert "900" not in emulated


def test_csv_is_read_back(files: Path, run_cli: RunCli) -> None:
    rows = list(csv.DictReader(io.StringIO(report(run_cli, files, "--format", "csv"))))
    assert len(rows) == 5
    assert float(rows[0]["latency_ms"]) == pytest.approx(3.0, rel=0.01)
    assert rows[0]["cold_start_ms"] == "160.0"
    assert rows[2]["status"] == "skipped"
    assert rows[2]["latency_ms"] == ""
    assert rows[3]["model"] == NASTY
    assert rows[4]["latency_ms"] == ""
    assert rows[4]["instructions"] == "58577000"


def test_json_has_a_version(files: Path, run_cli: RunCli) -> None:
    document = json.loads(report(run_cli, files, "--format", "json"))
    assert document["schema_version"] == 1
    assert [row["verdict"] for row in document["rows"][:2]] == ["valid", "unstable"]


def test_complete_says_what_is_missing(tmp_path: Path, run_cli: RunCli) -> None:
    runs = [process(samples())] * 3
    save_result(tmp_path / "done.json", result(point(*runs), point(status=Status.SKIPPED)))
    save_result(tmp_path / "half.json", result(point(*runs), point(status=Status.INTERRUPTED)))
    assert run_cli(["report", "--complete", "done.json"], cwd=tmp_path).exit_code == 0
    half = run_cli(["report", "--complete", "half.json"], cwd=tmp_path)
    assert half.exit_code == 3
    assert "PPLCNet_x1_0" in half.stdout
    assert "is interrupted" in half.stderr
    assert "edgekit bench --resume half.json" in half.stderr


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "truncated - at `$.points["),
        (lambda text: text.replace('"requested_threads": 1', '"requested_threads": "one"', 1), "$.points[0]"),
        (
            lambda text: text.replace(f'"schema_version": {RESULT_SCHEMA_VERSION}', '"schema_version": 99'),
            "schema_version 99",
        ),
    ],
)
def test_damaged_files_are_refused_with_the_field(
    files: Path, run_cli: RunCli, damage: object, said: str
) -> None:
    path = files / "host.json"
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    done = run_cli(["report", "host.json"], cwd=files)
    assert done.exit_code == 3
    assert done.stdout == ""
    assert said in done.stderr


def test_directories_stand_for_their_results(files: Path, run_cli: RunCli) -> None:
    (files / "notes.txt").write_text("not a result")
    names = ("host.json", "virtual.json")
    whole = run_cli(["report", ".", "host.json", *names, "--format", "csv"], cwd=files)
    assert (whole.exit_code, whole.stderr) == (0, "")
    assert whole.stdout == run_cli(["report", *names, "--format", "csv"], cwd=files).stdout
    (files / "empty").mkdir()
    empty = run_cli(["report", "empty"], cwd=files)
    assert (empty.exit_code, empty.stdout) == (3, "")
    assert "none in it" in empty.stderr
    (files / "eval-boxes.onnxruntime-fp32.bbox.json").write_text("[]")  # beside a detector's accuracy
    assert run_cli(["report", ".", "--format", "csv"], cwd=files).stdout == whole.stdout
    (files / "eval-boxes.onnxruntime-fp32.bbox.json").unlink()
    (files / "eval.json").write_text('{"schema_version": 1, "top1": 0.5}')
    (files / "others").mkdir()
    (files / "others/notes.json").write_text("{}")
    none = run_cli(["report", "others"], cwd=files)
    assert (none.exit_code, none.stdout) == (3, "")
    assert "notes.json is no result of bench or eval: left out" in none.stderr
    assert "looking for result files in others: none in it" in none.stderr
    other = run_cli(["report", ".", "--format", "csv"], cwd=files)
    assert (other.exit_code, other.stdout) == (0, whole.stdout)
    assert other.stderr == "eval.json is no result of bench or eval: left out\n"
    assert "not a result file of edgekit bench" in run_cli(["report", "eval.json"], cwd=files).stderr
    (files / "cut.json").write_bytes((files / "host.json").read_bytes()[:-300])
    cut = run_cli(["report", "."], cwd=files)
    assert (cut.exit_code, cut.stdout) == (3, "")
    assert (
        "cut.json: not a result file of edgekit bench: Input data was truncated - at `$.points[" in cut.stderr
    )


@pytest.mark.parametrize("form", ["table", "md", "csv", "json", "html"])
def test_a_result_of_nothing_is_no_error(tmp_path: Path, run_cli: RunCli, form: str) -> None:
    save_result(tmp_path / "none.json", result())
    done = run_cli(["report", "none.json", "--format", form], cwd=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_what_computes_something_else_has_no_latency(tmp_path: Path, run_cli: RunCli) -> None:
    failed = Parity(reference="paddle", max_relative_error=0.5, top1_agreement=0.0, inputs=4,
                    outputs_differ=True, passed=False, reason="error 0.5")  # fmt: skip
    wrong = point(process(samples(1.0)), model="PPLCNet_x2_0", parity=failed, verdict=Verdict.UNVERIFIED)
    right = point(process(samples(3.0)), verdict=Verdict.VALID)
    save_result(tmp_path / "parity.json", result(wrong, right))
    for form in ("table", "md", "html"):
        text = run_cli(["report", "parity.json", "--format", form], cwd=tmp_path).stdout
        assert "no parity" in text, form
        assert not re.search(r"\b1\.00\b", text), form
    plots = text[text.index('id="plots"') : text.index('id="verdicts"')]
    assert "PPLCNet_x1_0" in plots
    assert "PPLCNet_x2_0" not in plots
    text = run_cli(["report", "parity.json", "--format", "csv"], cwd=tmp_path).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["parity"] for row in rows] == ["failed", "passed"]
    assert [bool(row["latency_ms"]) for row in rows] == [False, True]


@pytest.mark.parametrize("form", ["table", "md", "csv", "json", "html"])
def test_an_error_without_words_is_shown(tmp_path: Path, run_cli: RunCli, form: str) -> None:
    save_result(tmp_path / "mute.json", result(point(status=Status.FAILED, error=PointError(message=""))))
    done = run_cli(["report", "mute.json", "--format", form], cwd=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "failed" in done.stdout


def test_a_file_is_written_whole(files: Path, run_cli: RunCli) -> None:
    assert report(run_cli, files, "--format", "csv", "-o", "out.csv") == ""
    assert (files / "out.csv").read_text().count("\n") == 6


# The rows of PaddleClas's documents in their order: PP-LCNet_en.md 1.3.1 and PP-HGNet_en.md 1.3.
CPU_ROWS = """MobileNetV2_x0_25 2.47, MobileNetV3_small_x0_35 3.02, ShuffleNetV2_x0_33 4.30,
PPLCNet_x0_25 1.74,
MobileNetV2_x0_5 2.85, MobileNetV3_large_x0_35 3.68, ShuffleNetV2_x0_5 4.65, PPLCNet_x0_5 2.05,
MobileNetV1_x1_0 3.38, MobileNetV2_x1_0 4.26, MobileNetV3_small_x1_25 3.95, PPLCNet_x1_0 2.46"""
GPU_ROWS = """ResNet34 1.97, ResNet34_vd 2.00, EfficientNetB0 1.96, PPHGNet_tiny 1.77, PPHGNet_tiny_ssld 1.77,
ResNet50 2.54, ResNet50_vd 2.60, ResNet50_rsb 2.54, EfficientNetB1 2.88, SwinTransformer_tiny 6.59,
PPHGNet_small 2.52, PPHGNet_small_ssld 2.52, Res2Net200_vd_26w_4s_ssld 11.45, ResNeXt101_32x48d_wsl 55.07,
SwinTransformer_base 13.53, PPHGNet_base_ssld 5.97"""


def table(markdown: str, title: str) -> list[list[str]]:
    """The cells of the table under a heading, its header first."""
    block = markdown[markdown.index(f"### {title}") :].split("\n\n")[1]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
    return [lines[0], *lines[2:]]


@pytest.fixture
def compared(tmp_path: Path) -> Path:
    """Two results of one engine on a CPU, and one of a network of the GPU comparison."""
    for name, models in (("one", ["PPLCNet_x1_0", "MobileNetV1"]), ("two", ["ResNet50", "PPLCNet_x1_0"])):
        points = [
            point(process(samples(5.0 if name == "two" else 3.0)), model=model, verdict=Verdict.VALID)
            for model in models
        ]
        save_result(tmp_path / f"{name}.json", result(*points, run_id=name))
    return tmp_path


@pytest.mark.parametrize(
    ("title", "published", "latency"), [("PP-LCNet", CPU_ROWS, 5), ("PP-HGNet", GPU_ROWS, 3)]
)
def test_the_published_comparisons_are_drawn_again(
    compared: Path, run_cli: RunCli, title: str, published: str, latency: int
) -> None:
    done = run_cli(["report", "one.json", "two.json", "--format", "md", "--published"], cwd=compared)
    assert done.exit_code == 0, done.stderr
    header, *lines = table(done.stdout, f"{title} beside other networks")
    assert [f"{line[0]} {line[latency]}" for line in lines] == re.split(r",\s", published)
    assert header[latency].startswith("published(")
    assert header[latency + 1 :] == ["Latency(ms), onnxruntime, 1 thread"]
    shown = {line[0]: line[-1] for line in lines}
    measured = {"PPLCNet_x1_0": "5.00", "MobileNetV1_x1_0": "3.00", "ResNet50": "5.00"}
    assert {name: text for name, text in shown.items() if text != "published only"} == {
        name: text for name, text in measured.items() if name in shown
    }


def test_a_comparison_says_where_it_was_measured(compared: Path, run_cli: RunCli) -> None:
    text = run_cli(["report", "two.json", "--published"], cwd=compared).stdout
    assert "PP-LCNet beside" not in text  # its own network alone compares nothing
    own = text[text.index("PP-HGNet beside") :]
    assert "published: NVIDIA Tesla V100 with TensorRT in FP32" in own
    assert "measured: Invented CPU" in own
    assert "measured on Invented CPU, published for V100: compare the order, not the ms" in own
    assert "beside other networks" not in run_cli(["report", "two.json"], cwd=compared).stdout


@pytest.mark.parametrize(
    ("engine", "machine", "fields", "said"),
    [
        ("onnxruntime", {"soc": "Intel(R) Xeon(R) Processor"}, {}, False),
        ("onnxruntime", {"soc": "AMD EPYC 7B13"}, {}, True),
        ("paddlelite", {"serial": "A1", "transport": "adb", "soc": "SM8150"}, {}, False),
        ("paddlelite", {"serial": "A1", "transport": "adb", "soc": "SM4350"}, {}, True),
        ("paddle-gpu", {}, {"gpu": "Tesla V100-SXM2-32GB"}, False),
        ("paddle-gpu", {"soc": "Intel(R) Xeon(R) Processor"}, {"gpu": "NVIDIA H200"}, True),
    ],
)
def test_other_machines_than_published_are_named(
    engine: str, machine: dict[str, str], fields: dict[str, str], said: bool
) -> None:
    """Invented sample data on machines by the names that they give themselves."""
    gpus = {
        name: Gpu(name=value, uuid="GPU-0", compute_capability="7.0", cuda_version="12.4")
        for name, value in fields.items()
    }
    rows = result_rows([result(point(process(samples(3.0)), engine=engine, **gpus), **machine)])
    (table,) = published_tables(rows, published=True)
    assert any("compare the order, not the ms" in note for note in table.notes) == said
    (table,) = published_tables(rows, published=False)
    assert not table.notes


def test_gpu_results_are_laid_out_as_the_v100_tables(tmp_path: Path, run_cli: RunCli) -> None:
    """Invented sample data: no GPU has computed this."""
    gpu = Gpu(name="Invented GPU", uuid="GPU-0", compute_capability="7.0", cuda_version="12.4")

    def run(center_ms: float) -> ProcessRun:
        return process(samples(center_ms), copy_in_ns=(50_000, 52_000, 51_000), copy_out_ns=(9_000,))

    fields = {"engine": "paddle-tensorrt", "engine_version": "invented", "verdict": Verdict.VALID, "gpu": gpu}
    points = [
        point(run(latency * batch), model=model, precision=precision, batch_size=batch, **fields)
        for model, latency in (("PPLCNet_x1_0", 1.0), ("PPHGNet_tiny", 3.0))
        for precision in (Precision.FP32, Precision.FP16)
        for batch in (1, 4, 8)
    ]
    error = PointError(message="asked for TensorRT: invented")
    points.append(point(model="ResNet50", status=Status.FAILED, engine="paddle-tensorrt", error=error))
    points.append(
        point(precision=Precision.INT8, status=Status.SKIPPED, engine="paddle-tensorrt", error=error)
    )
    save_result(tmp_path / "gpu.json", result(*points))
    text = run_cli(["report", "gpu.json", "--published", "--format", "md"], cwd=tmp_path).stdout
    header, lcnet, hgnet, failed = table(text, "Invented GPU, paddle-tensorrt invented (")
    # PaddleClas, PP-LCNet_en.md, "Inference speed based on V100 GPU", and PP-HGNet_en.md, section 1.3.
    assert header == [
        "Model", "Crop Size", "Resize Short Size", "Params(M)", "FLOPs(M)", "published Top-1(%)",
        "published Top-5(%)", "FP32 Batch Size=1 (ms)", "published(V100, ms)",
        "FP32 Batch Size=4 (ms)", "published(V100, ms)",
        "FP32 Batch Size=8 (ms)", "published(V100, ms)",
        "FP16 Batch Size=1 (ms)", "FP16 Batch Size=4 (ms)", "FP16 Batch Size=8 (ms)",
        "INT8 Batch Size=1 (ms)",
    ]  # fmt: skip
    assert lcnet[1:7] == ["224", "256", "2.96", "160.81", "71.32", "90.03"]
    assert lcnet[8:13:2] == ["0.73", "1.64", "2.53"]
    assert [round(float(cell)) for cell in (*lcnet[7:12:2], *lcnet[13:16])] == [1, 4, 8, 1, 4, 8]
    assert lcnet[16] == "skipped"
    assert hgnet[1:3] == ["224", "232"]
    assert (hgnet[8], hgnet[10]) == ("1.77", "-")
    assert failed[7] == "failed"
    assert "failed: asked for TensorRT: invented" in text
    shown = run_cli(["report", "gpu.json"], cwd=tmp_path).stdout
    assert "0.051 / 0.009" in shown[shown.index("Copies to the GPU / back, ms") :]
    copies = table(text, "Copies to the GPU / back, not in the latency: Invented GPU")
    assert copies[1] == ["PPLCNet_x1_0", *["0.051 / 0.009"] * 6]
    # One of the two networks of PP-HGNet's comparison is another's.
    assert "PP-HGNet beside other networks" in text
    said = "measured on Invented GPU, published for V100: compare the order, not the ms"
    assert said in text[: text.index("PP-HGNet beside")]
    assert said in text[text.index("PP-HGNet beside") :]
    text = run_cli(["report", "gpu.json", "--format", "csv"], cwd=tmp_path).stdout
    row = next(csv.DictReader(io.StringIO(text)))
    assert (row["machine"], row["copy_in_ms"], row["platform"]) == ("Invented GPU", "0.051", "v100")


def test_a_comparison_shows_what_its_change_is_of_and_each_difference_once(
    run_inside: Callable[..., CliResult], tmp_path: Path
) -> None:
    quiet, busy = (msgspec.structs.replace(QUIET, load_1min=load) for load in (0.1, 8.0))
    for name, low, around in (("old", 2.0, quiet), ("new", 3.0, busy)):
        # Most samples are twice as long: the median is not what is compared.
        times = tuple([round(low * 1e6)] * 40 + [round(low * 2e6)] * 60)
        points = [
            point(*[process(times)] * 3, requested_threads=threads, environment_before=around)
            for threads in (1, 2)
        ]
        save_result(tmp_path / f"{name}.json", result(*points))
    done = run_inside("compare", "old.json", "new.json", "--fail-above", "90%")
    assert done.exit_code == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "1 thread" in line)
    assert " 2.00 " in line and " 3.00 " in line and "+50.0%" in line
    assert done.stdout.count("differs: load 0.1 -> 8.0") == 1
    assert "lower quartile of a process" in done.stdout
