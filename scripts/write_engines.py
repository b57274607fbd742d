#!/usr/bin/env python
"""Write docs/engines.md from the records of the engines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgekit.core.artifact import ArtifactKind
from edgekit.core.spec import Precision
from edgekit.engines.registry import engines
from edgekit.engines.spec import EngineSpec

PAGE = Path(__file__).resolve().parents[1] / "docs" / "engines.md"
HEAD = """# Engines

Written by `scripts/write_engines.py` from the records in `edgekit/engines`. `--engine` takes these names;
[CONTRIBUTING.md](../CONTRIBUTING.md) says how to add one.

"""


def page() -> str:
    """The page as it should be."""
    return HEAD + "\n".join(_section(spec) for spec in engines().values())


def _section(spec: EngineSpec) -> str:
    lines = [f"## `{spec.name}`", "", f"{spec.summary}.", ""]
    if spec.host is not None:
        lines.append(
            f"- Reads on this machine: {_artifacts(spec.host.artifacts)}; comes by `{spec.host.install}`"
        )
        if spec.host.layer_times:
            lines.append("- Times its layers, for `profile`")
        for precision, reason in spec.host.refused.items():
            lines.append(f"- Not {precision.value}: {reason}")
        for name, option in spec.host.options.items():
            if option.help is not None:
                values = ", ".join(f"`{value}`" for value in option.values)
                lines.append(f"- `--engine-option {name}=…`: {option.help}; {values}")
    if spec.device is not None:
        native = spec.device.native
        component = f"{spec.name}-wheel" if native is None else native.runtime
        runtime = f"`edgekit toolchain install {component}`"
        lines.append(f"- Reads on devices: {_artifacts(spec.device.artifacts)}; comes by {runtime}")
        for name, option in spec.device.options.items():
            values = ", ".join(f"`{value}`" for value in option.values)
            lines.append(f"- On devices `--engine-option {name}=…`: {option.help}; {values}")
        for word, artifacts in spec.device.by_option.items():
            lines.append(f"- With {word} it reads {_artifacts(artifacts)}")
    if spec.app_formats:
        lines.append(f"- Reads in the Android app: {', '.join(spec.app_formats)}")
    if spec.rungs:
        lines.append(f"- Rungs of `verify`: {', '.join(rung.label for rung in spec.rungs)}")
    return "\n".join(lines) + "\n"


def _artifacts(artifacts: Mapping[Precision, ArtifactKind]) -> str:
    return ", ".join(f"{precision.value} {kind.value}" for precision, kind in artifacts.items())


if __name__ == "__main__":
    PAGE.write_text(page())
