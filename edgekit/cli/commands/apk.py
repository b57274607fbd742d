"""`edgekit apk`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import IntList, WordList, adb_server_option, device_option, json_option
from edgekit.cli.output import echo_json, echo_table, note, terminal_width
from edgekit.engines.registry import app_engines

if TYPE_CHECKING:
    from edgekit.android.check import ApkReport
    from edgekit.android.side_by_side import Pair
    from edgekit.core.measurement import Point, Result
    from edgekit.transports.interface import DeviceTransport

POWER_MODES = ("HIGH", "LOW", "FULL", "NO_BIND", "RAND_HIGH", "RAND_LOW")
ABIS = ("arm64-v8a", "x86_64")
NATIVE_LIBRARIES = ("compressed", "mapped")
DEFAULT_APK = Path("build/edgekit-demo.apk")


@click.group()
def command() -> None:
    """Build, install and measure the Android demo app."""


@command.command()
@click.option("--engine", type=click.Choice(app_engines()), default="onnxruntime", show_default=True,
              help="Flavour of the app; each contains ONNX Runtime.")  # fmt: skip
@click.option("--abi", "abis", type=WordList(ABIS), default="arm64-v8a", show_default=True,
              help="Machines: arm64-v8a (phones), x86_64 (emulators).")  # fmt: skip
@click.option("--native-libraries", "native", type=click.Choice(NATIVE_LIBRARIES), default="compressed",
              show_default=True,
              help="compressed (a small APK, unpacked at installation) or mapped out of it.")  # fmt: skip
@click.option("--project", type=click.Path(path_type=Path, file_okay=False), default="android_demo",
              show_default=True, metavar="DIR", help="Project written by `edgekit bundle`.")  # fmt: skip
@click.option("--keystore", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Keystore with password $EDGEKIT_KEYSTORE_PASSWORD.  [default: a debug key]")  # fmt: skip
@click.option("--key-alias", metavar="ALIAS", help="Alias of the key in a keystore with several keys.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=DEFAULT_APK,
              show_default=True, metavar="FILE", help="Path of the APK.")  # fmt: skip
@json_option
def build(
    engine: str,
    abis: tuple[str, ...],
    native: str,
    project: Path,
    keystore: Path | None,
    key_alias: str | None,
    output: Path,
    as_json: bool,
) -> None:
    """Build, sign and check the app without the Android SDK.

    Needs a JDK; on the first run also Maven, npm and apt, which fetch the rest into edgekit's cache.
    """
    from edgekit.android.build import NativeLibraries, build_apk
    from edgekit.android.signing import debug_key, user_key
    from edgekit.android.sources import AppEngine

    if key_alias and not keystore:
        raise click.UsageError("--key-alias names a key of --keystore")
    key = user_key(keystore, key_alias) if keystore else debug_key()
    report = build_apk(
        project, engine=AppEngine(engine), key=key, output=output, progress=note, abis=abis,
        native=NativeLibraries(native),
    )  # fmt: skip
    for line in report.notes:
        note(f"note: {line}")
    if as_json:
        echo_json(report)
    else:
        _show_report(report)


@command.command()
@click.argument("apk", type=click.Path(path_type=Path, dir_okay=False), default=DEFAULT_APK, required=False)
@device_option
@adb_server_option
@json_option
def install(apk: Path, devices: tuple[str, ...], adb_servers: tuple[str, ...], as_json: bool) -> None:
    """Put the app (APK; default build/edgekit-demo.apk) onto devices."""
    from edgekit.android.package_manager import install as put

    with _transports(devices, adb_servers) as transports:
        installed = [put(transport, apk) for transport in transports]
    if as_json:
        echo_json(installed)
        return
    for app in installed:
        click.echo(f"{app.serial}  {app.package}  {app.path}")


@command.command()
@device_option
@adb_server_option
@click.option("--model", "models", type=WordList(), default=(), help="Bundled models.  [default: all]")
@click.option("--engine", "engines", type=WordList(app_engines()), default=(),
              help="Engines of the installed app.  [default: all]")  # fmt: skip
@click.option("--threads", type=IntList(), default="1", show_default=True, help="Threads of the engine.")
@click.option("--power-mode", type=click.Choice(POWER_MODES), help="Core binding (Paddle Lite).")
@click.option("--warmup", type=click.IntRange(0), default=10, show_default=True, help="Fewest warm-up runs.")
@click.option("--repeats", type=click.IntRange(1), default=100, show_default=True, help="Fewest timed runs.")
@click.option("--min-secs", type=click.FloatRange(0, 3600), default=1.0, show_default=True,
              help="Fewest timed seconds of each point.")  # fmt: skip
@click.option("--max-secs", type=click.FloatRange(0.001, 3600), default=60.0, show_default=True,
              help="Most timed seconds of each point.")  # fmt: skip
@click.option("--processes", type=click.IntRange(1), default=5, show_default=True,
              help="How often the app is started; every start measures each point once.")  # fmt: skip
@click.option("--shell", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A result of `edgekit bench` on the same device, to show side by side.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The result file.  [default: results/TIME-TARGET-app.json]")  # fmt: skip
@json_option
def bench(
    devices: tuple[str, ...],
    adb_servers: tuple[str, ...],
    models: tuple[str, ...],
    engines: tuple[str, ...],
    threads: tuple[int, ...],
    power_mode: str | None,
    warmup: int,
    repeats: int,
    min_secs: float,
    max_secs: float,
    processes: int,
    shell: Path | None,
    output: Path | None,
    as_json: bool,
) -> int:
    """Measure inside the installed app and write a result file like that of `edgekit bench`.

    All points run one after the other in each process of the app.
    """
    from edgekit.android.bench import AppSweep, run_in_app
    from edgekit.bench.bench import first_error
    from edgekit.bench.results import load_result
    from edgekit.core.bench_options import PowerMode

    sweep = AppSweep(
        models=models,
        engines=engines,
        threads=threads,
        power_mode=PowerMode(power_mode) if power_mode else None,
        warmup=warmup,
        repeats=repeats,
        min_s=min_secs,
        max_s=max_secs,
        processes=processes,
    )
    shell_result = load_result(shell) if shell else None
    with _transports(devices, adb_servers) as transports:
        if len(transports) > 1 and output:
            raise click.UsageError("-o names one file; several devices are measured: leave it out")
        results, paths = [], []
        for transport in transports:
            results.append(run_in_app(transport, sweep, command=sys.argv, report=_note_point))
            paths.append(_save(results[-1], output))
            note(f"saved {paths[-1]}")
    if as_json:
        documents = [_document(result, shell_result) for result in results]
        echo_json(documents[0] if len(documents) == 1 else documents)
    else:
        _show_results(results, shell_result)
    error = first_error([point for result in results for point in result.points])
    return 0 if error is None else error.exit_code


@contextmanager
def _transports(devices: Sequence[str], adb_servers: Sequence[str]) -> Iterator[Sequence[DeviceTransport]]:
    from edgekit.transports.connect import open_devices

    transports = open_devices(devices, adb_servers)
    try:
        yield transports
    finally:
        for transport in transports:
            transport.close()


def _show_report(report: ApkReport) -> None:
    from edgekit.core.units import format_bytes
    from edgekit.report.grid import facts

    bare = format_bytes(report.size_without_models_bytes)
    lines = {
        "APK": report.path,
        "SHA-256": report.sha256,
        "size": f"{format_bytes(report.size_bytes)}, {bare} without models",
        "app classes": f"{format_bytes(report.app_dex_bytes)} of dex",
        "engine": report.engine,
        "runs on": ", ".join(report.abis),
        "models": ", ".join(report.models),
        "signed with": f"{'a debug key' if report.debug_key else 'your key'}, {report.signer_sha256[:16]}…",
        "checked": "signature schemes 2 and 3, alignment, native libraries",
    }
    echo_table(facts(lines.items()))


def _note_point(point: Point) -> None:
    from edgekit.core.stats import median
    from edgekit.core.units import format_ms

    said = f"{format_ms(median(point.samples_ns))} ms" if point.samples_ns else point.status.value
    why = f" ({point.error.message})" if point.error else ""
    note(f"{point.model}, {point.engine}, {point.requested_threads} threads: {said}{why}")


def _save(result: Result, output: Path | None) -> Path:
    from datetime import datetime

    from edgekit.bench.document import save_result
    from edgekit.bench.results import default_path

    started_at = datetime.fromisoformat(result.started_at.replace("Z", "+00:00"))
    path = output or default_path(started_at, f"{result.target.serial}-app")
    save_result(path, result)
    return path


def _document(result: Result, shell: Result | None) -> Result | dict[str, object]:
    """Return the result, with the comparison beside it where one was asked for."""
    from edgekit.android.side_by_side import pair_up

    return result if shell is None else {"result": result, "side_by_side": pair_up(result, shell)}


def _show_results(results: Sequence[Result], shell: Result | None) -> None:
    from edgekit.android.side_by_side import pair_up
    from edgekit.report.table import latency_table

    for result in results:
        click.echo(latency_table(result, width=terminal_width()))
        if shell is not None:
            click.echo()
            _show_pairs(pair_up(result, shell))


def _show_pairs(pairs: Sequence[Pair]) -> None:
    from edgekit.core.units import format_ms
    from edgekit.report.grid import MISSING, Table

    rows = []
    for pair in pairs:
        shell, app = (MISSING if ns is None else format_ms(ns) for ns in (pair.shell_ns, pair.app_ns))
        ratio, interval = MISSING, MISSING
        if pair.app_over_shell is not None:
            ratio = f"{pair.app_over_shell.estimate:.2f}"
            interval = f"{pair.app_over_shell.low:.2f} to {pair.app_over_shell.high:.2f}"
        rows.append((pair.model, pair.engine, str(pair.threads), shell, app, ratio, interval))
    header = ("Model", "Engine", "Threads", "Shell, ms", "App, ms", "App/shell", "95 % interval")
    echo_table(Table(header=header, rows=tuple(rows), words=(0, 1)))
    if any(pair.app_over_shell is None and pair.shell_ns and pair.app_ns for pair in pairs):
        note("an interval takes two processes or more on both sides: --processes 5")
