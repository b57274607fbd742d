"""Build docs/ as a site that needs no network, into build/site; `make docs` calls it.

The pages of docs/ are joined by a reference of the commands, from click, the zoo's page, and pages that lie
elsewhere in the repository.
"""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from edgekit.cli.root import COMMANDS, root
from edgekit.pages.zoo import zoo_page

REPOSITORY = Path(__file__).parent.parent
PLACE = REPOSITORY / "build" / "docs"
# Pages from elsewhere by their names on the site.
ELSEWHERE = {
    "examples.md": REPOSITORY / "examples" / "README.md",
    "contributing.md": REPOSITORY / "CONTRIBUTING.md",
    "changes.md": REPOSITORY / "CHANGELOG.md",
}
CHAPTERS = {
    "Models": "zoo predict own-model int8 training",
    "Where it runs": "phone board server engines parity service app cpp",
    "Numbers": "results validity performance ci estimate profile",
    "Reference": "commands api examples architecture contributing changes",
}
TOCTREE = """
```{{toctree}}
:hidden:
:caption: {caption}

{names}
```
"""
ZOO = """# The zoo

![Accuracy against latency](zoo.svg)

<a href="zoo-page.html">All networks with their figures and estimates</a>

`edgekit models --html zoo.html` writes that page, and `edgekit models list` prints it.
"""
# furo brings its style, its fonts and the search with it: nothing is loaded from elsewhere.
CONFIGURATION = """
project = "edgekit"
author = "The edgekit authors"
html_title = "edgekit"
extensions = ["myst_parser"]
myst_heading_anchors = 4
# An option's `--` is no dash.
smartquotes = False
html_theme = "furo"
html_extra_path = ["extra"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
# A summary would be fetched, which browsers refuse of files.
html_show_search_summary = False
exclude_patterns = ["extra"]
suppress_warnings = ["misc.highlighting_failure", "myst.header", "toc.not_included"]
"""
NAMED = re.compile(r"\[([\w-]+\.md)\]\(\1\)")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)")


def commands() -> str:
    """Return the reference of all commands as Markdown."""
    parts = ["# Commands", "Every command with its arguments and options, as `--help` shows them."]
    context = click.Context(root, info_name="edgekit")
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        parts += _sections(command, click.Context(command, info_name=name, parent=context), 2)
    return "\n\n".join(parts) + "\n"


def _sections(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {context.command_path}"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "").replace("<", "&lt;")
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```console\n$ {context.command_path} {usage}\n```"
    records = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) is not None
    ]
    if records:
        rows = "\n".join(f"| `{_cell(option)}` | {_cell(words, code=False)} |" for option, words in records)
        yield f"| Argument or option | Meaning |\n|---|---|\n{rows}"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            one = command.get_command(context, name)
            assert one is not None
            yield from _sections(one, click.Context(one, info_name=name, parent=context), level + 1)


def _cell(text: str, *, code: bool = True) -> str:
    words = " ".join(text.split()).replace("|", "\\|")
    return words if code else re.sub(r"([<*_\[\]])", r"\\\1", words)


def gather() -> None:
    """Write the pages of the site into build/docs."""
    shutil.rmtree(PLACE, ignore_errors=True)
    shutil.copytree(REPOSITORY / "docs", PLACE)
    (PLACE / "README.md").rename(PLACE / "index.md")
    for name, path in ELSEWHERE.items():
        shutil.copy(path, PLACE / name)
    for page in PLACE.glob("*.md"):
        origin = ELSEWHERE.get(page.name, REPOSITORY / "docs" / page.name).parent
        # A page called by its file's name is called by its heading on the site.
        text = NAMED.sub(r"[](\1)", page.read_text(encoding="utf-8"))
        page.write_text(LINK.sub(lambda link, origin=origin: _link(link, origin), text), encoding="utf-8")
    (PLACE / "commands.md").write_text(commands(), encoding="utf-8")
    (PLACE / "extra").mkdir()
    (PLACE / "extra" / "zoo-page.html").write_text(zoo_page(), encoding="utf-8")
    (PLACE / "zoo.md").write_text(ZOO, encoding="utf-8")
    with (PLACE / "index.md").open("a", encoding="utf-8") as index:
        for caption, names in CHAPTERS.items():
            index.write(TOCTREE.format(caption=caption, names="\n".join(names.split())))
    (PLACE / "conf.py").write_text(CONFIGURATION, encoding="utf-8")


def _link(link: re.Match[str], origin: Path) -> str:
    """Return a link that leads to a page of the site; other files of the repository lead to its start."""
    target = (origin / link[1]).resolve()
    if target.parent == REPOSITORY / "docs" and target.exists():
        return f"]({target.name.replace('README', 'index')}{link[2] or ''})"
    for name, path in ELSEWHERE.items():
        if target == path:
            return f"]({name}{link[2] or ''})"
    return "](index.md)"


if __name__ == "__main__":
    gather()
    program, site = Path(sys.executable).with_name("sphinx-build"), REPOSITORY / "build" / "site"
    if not program.exists():
        sys.exit("error: sphinx is not installed\nhint: make docs, or pip install 'edgekit[docs]'")
    shutil.rmtree(site, ignore_errors=True)
    words = [str(program), "-b", "html", "-q", "-W", "--keep-going", str(PLACE), str(site)]
    done = subprocess.run(words, check=False)
    if done.returncode == 0:
        print(site / "index.html")
    sys.exit(done.returncode)
