"""`edgekit toolchain`: the programs and libraries that edgekit needs beside its Python packages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from edgekit.cli.options import json_option, trust_new_option
from edgekit.cli.output import echo_json, echo_table, note
from edgekit.engines.registry import BUILD_ENGINE, native_engines

if TYPE_CHECKING:
    from edgekit.toolchain.component import Component, Found


class ComponentLine(msgspec.Struct, frozen=True, kw_only=True):
    """One component in the output of `toolchain list` and `toolchain install`."""

    name: str
    purpose: str
    version: str | None
    path: str | None
    detail: str | None
    fault: str | None
    remedy: str | None


class BuiltLine(msgspec.Struct, frozen=True, kw_only=True):
    """The output of `toolchain build runner`."""

    engine: str
    target: str
    path: str
    build_id: str
    compiler: str


class ClassifierLine(msgspec.Struct, frozen=True, kw_only=True):
    """The output of `toolchain build classifier`."""

    path: str


@click.group()
def command() -> None:
    """Install and list the tools that edgekit uses."""


@command.command("list")
@json_option
def list_components(as_json: bool) -> None:
    """List every component with its version and place, or with the command that installs it."""
    from edgekit.toolchain.components import COMPONENTS

    lines = [_line(component, component.find()) for component in COMPONENTS]
    if as_json:
        echo_json(lines)
        return
    from edgekit.report.grid import Table

    echo_table(Table(rows=tuple((line.name, *_found(line)) for line in lines)))


def _found(line: ComponentLine) -> tuple[str, str]:
    if line.path is None:
        return "missing", f"edgekit toolchain install {line.name}\n{line.purpose}"
    detail = f"  ({line.detail})" if line.detail else ""
    fault = f"\nMISMATCH: {line.fault}: {line.remedy}" if line.fault else ""
    return line.version or "unknown", f"{line.path}{detail}{fault}\n{line.purpose}"


@command.command("install")
@click.argument("name", metavar="COMPONENT")
@click.option("--version", help="Exactly this version.")
@click.option(
    "--archive",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file that was downloaded by hand.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A directory that was unpacked or built by hand.",
)
@click.option("--force", is_flag=True, help="Install it again although it is here.")
@trust_new_option
@json_option
def install(
    name: str,
    version: str | None,
    archive: Path | None,
    directory: Path | None,
    force: bool,
    trust_new: bool,
    as_json: bool,
) -> None:
    """Install a component into edgekit's cache; nothing needs root."""
    from edgekit.toolchain.component import InstallRequest
    from edgekit.toolchain.components import component

    chosen = component(name)
    request = InstallRequest(
        version=version,
        archive=archive,
        directory=directory,
        force=force or trust_new,
        trust_new=trust_new,
        progress=note,
    )
    line = _line(chosen, chosen.install(request))
    if as_json:
        echo_json(line)
    else:
        click.echo(f"{line.name} {line.version or ''} {line.path}")


@command.command("build")
@click.argument("what", metavar="runner|classifier", type=click.Choice(["runner", "classifier"]))
@click.option(
    "--target",
    type=click.Choice(["aarch64", "x86_64", "android"]),
    default="aarch64",
    show_default=True,
    help="aarch64: devices, Android's too, within their bundle; android: with the NDK's C library.",
)
@click.option(
    "--engine",
    type=click.Choice(native_engines()),
    default=BUILD_ENGINE,
    show_default=True,
    help="The engine that it runs models with.",
)
@click.option("--force", is_flag=True, help="Build it again although it is here.")
@json_option
def build(what: str, target: str, engine: str, force: bool, as_json: bool) -> None:
    """Build a native program from edgekit's sources and print where it is.

    runner measures on devices; classifier (edgekit-classify) answers for pictures on this machine without
    Python, and is for x86_64 and onnxruntime alone.
    """
    if what == "classifier":
        _build_classifier(force=force, as_json=as_json)
        return
    from edgekit.toolchain.build.native import build_runner

    runner = build_runner(engine, target, progress=note, force=force)
    if as_json:
        echo_json(
            BuiltLine(
                engine=runner.engine,
                target=runner.target,
                path=str(runner.path),
                build_id=runner.build_id,
                compiler=runner.compiler,
            )
        )
    else:
        click.echo(str(runner.path))


def _build_classifier(*, force: bool, as_json: bool) -> None:
    context = click.get_current_context()
    for name in ("target", "engine"):
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} is for the runner; the classifier has one", ctx=context)
    from edgekit.toolchain.build.classifier import build_classifier

    path = str(build_classifier(progress=note, force=force))
    if as_json:
        echo_json(ClassifierLine(path=path))
    else:
        click.echo(path)


def _line(component: Component, found: Found | None) -> ComponentLine:
    return ComponentLine(
        name=component.name,
        purpose=component.purpose,
        version=found.version if found else None,
        path=str(found.path) if found else None,
        detail=found.detail if found else None,
        fault=found.fault if found else None,
        remedy=found.remedy if found else None,
    )
