"""`bench --config`: the options of a benchmark as TOML, for nightly runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edgekit._files import read_bytes
from edgekit.errors import InputError

Number = Annotated[int, Meta(ge=1)]
Words = str | tuple[str, ...]
Numbers = Number | tuple[Number, ...]


class BenchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The options of `edgekit bench` under their own names; a list stands for a comma-separated one.

    Attributes:
        models: NAMEs or artifact directories.
        device: Serials; excludes `host`.
        target_ci: As on the command line: "1%".
        engine_option: NAME = "VALUE".
    """

    models: tuple[str, ...] | None = None
    host: bool | None = None
    device: Words | None = None
    adb_server: Words | None = None
    engine: Words | None = None
    precision: Words | None = None
    threads: Numbers | None = None
    batch_size: Numbers | None = None
    power_mode: Words | None = None
    cores: str | tuple[int, ...] | None = None
    warmup: Annotated[int, Meta(ge=0)] | None = None
    repeats: Number | None = None
    min_secs: Annotated[float, Meta(ge=0)] | None = None
    max_secs: Annotated[float, Meta(gt=0)] | None = None
    cooldown: Annotated[float, Meta(ge=0)] | None = None
    processes: Number | None = None
    target_ci: str | None = None
    engine_option: dict[str, str] | None = None
    output: str | None = None


def load_config(path: Path) -> BenchConfig:
    """Read a configuration.

    Raises:
        InputError: It cannot be read, is no TOML, or has an option that `bench` does not.
    """
    hint = 'e.g.: host = true, engine = ["paddle", "onnxruntime"], threads = [1, 2]; edgekit bench --help'
    content = read_bytes(path, "the configuration", hint=hint)
    try:
        return msgspec.toml.decode(content, type=BenchConfig)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"reading the configuration {path}: {error}", hint=hint) from error


def to_words(config: BenchConfig) -> list[str]:
    """The same as a command line, NAMEs last; a path of an output is relative to the working directory."""
    words: list[str] = []
    for name in ("device", "adb-server"):
        for value in _listed(getattr(config, name.replace("-", "_"))):
            words += [f"--{name}", value]
    for name in ("engine", "precision", "threads", "batch-size", "power-mode", "cores"):
        values = _listed(getattr(config, name.replace("-", "_")))
        if values:
            words += [f"--{name}", ",".join(values)]
    for name in ("warmup", "repeats", "min-secs", "max-secs", "cooldown", "processes", "target-ci", "output"):
        value = getattr(config, name.replace("-", "_"))
        if value is not None:
            words += [f"--{name}", str(value)]
    for option, value in (config.engine_option or {}).items():
        words += ["--engine-option", f"{option}={value}"]
    if config.host:
        words.append("--host")
    return [*words, "--", *(config.models or ())]


def _listed(value: object) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, tuple) else [str(value)]
