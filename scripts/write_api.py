"""Write docs/api.md, the page of the Python interface, from docstrings; run it after a change of one."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import edgekit
from edgekit import errors
from edgekit._files import write_atomic

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
HEAD = """\
# The Python interface

Written by `scripts/write_api.py` from the docstrings of `edgekit`. Every other module is internal and may
change with any version."""
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$", re.MULTILINE)
ITEM = re.compile(r"^    (\S[^:]*): (.*)$")


def markdown(docstring: str) -> str:
    """A docstring with its sections as lists and its indented code fenced."""
    body, *sections = SECTION.split(docstring)
    parts = [re.sub(r"(?m)\n((?:^    .*\n?|^\n(?=    ))+)", _fenced, body.strip() + "\n").strip()]
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        lines: list[str] = []
        for line in text.strip("\n").splitlines():
            item = ITEM.match(line) if title != "Returns" and title != "Yields" else None
            if item is not None:
                lines.append(f"- `{item[1]}`: {item[2]}")
            elif lines and line.strip():
                lines[-1] += f" {line.strip()}"
            elif line.strip():
                lines.append(line.strip())
        parts.append(f"**{title}**\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _fenced(match: re.Match[str]) -> str:
    return f"\n\n```python\n{inspect.cleandoc(match[1])}\n```\n"


def entry(name: str, thing: Any, level: int) -> str:
    """Signature and docstring of a class, function or method, and of the public methods of a class."""
    heading = "#" * level
    parts = [
        f"{heading} `{name}`",
        f"```python\n{shown(name, thing)}\n```",
        markdown(inspect.getdoc(thing) or ""),
    ]
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            if not member.startswith("_") and inspect.isfunction(value):
                parts.append(entry(f"{name}.{member}", value, level + 1))
    return "\n\n".join(parts)


def shown(name: str, thing: Any) -> str:
    """A signature, a line a parameter where it is long."""
    signature = inspect.signature(thing)
    words = [_parameter(each) for each in signature.parameters.values() if each.name != "self"]
    kinds = [each.kind for each in signature.parameters.values() if each.name != "self"]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        words.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    # Annotations are strings (`from __future__ import annotations`); quotes around them say nothing.
    words = [re.sub(r"(?<=: )'([^']*)'", r"\1", re.sub(r"PosixPath\((.*)\)", r"\1", word)) for word in words]
    returns = "" if inspect.isclass(thing) else f" -> {signature.return_annotation}"
    short = f"{name}({', '.join(words)}){returns}"
    return (
        short
        if len(short) <= 110
        else "\n".join([f"{name}(", *(f"    {word}," for word in words), f"){returns}"])
    )


def _parameter(parameter: inspect.Parameter) -> str:
    """Return a parameter as written; a method that is its default by its name, not by its object's state."""
    if inspect.ismethod(parameter.default):
        name = parameter.default.__qualname__
        return f"{parameter.replace(default=inspect.Parameter.empty)} = {name}"
    return str(parameter)


def exceptions(module: ModuleType) -> str:
    """A table of the errors that edgekit raises, with the exit code that the command line gives to each."""
    rows = ["| error | exit code | meaning |", "|---|---|---|"]
    for name, kind in vars(module).items():
        if inspect.isclass(kind) and issubclass(kind, module.EdgekitError):
            meaning = (inspect.getdoc(kind) or "").partition("\n")[0]
            rows.append(f"| `{name}` | {kind.exit_code} | {meaning} |")
    return "\n".join(rows)


def page() -> str:
    """The whole page."""
    names = [name for name in edgekit.__all__ if name != "__version__"]
    parts = [HEAD, *(entry(f"edgekit.{name}", getattr(edgekit, name), 2) for name in names)]
    return "\n\n".join([*parts, "## Errors (`edgekit.errors`)", exceptions(errors)]) + "\n"


if __name__ == "__main__":
    write_atomic(PAGE, page())
