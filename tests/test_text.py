from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from edgekit._text import json_printable, one_line, printable
from edgekit.cli.root import main
from edgekit.report.grid import Table
from edgekit.report.text import as_markdown, as_text

# Sets the window's title, clears the screen, the same by one C1 character, turns text around, half a pair.
HOSTILE = "a\x1b]0;pwned\x07\x1b[2J\x9b2J\u202eb\udcff\rc"
SAFE = r"a\x1b]0;pwned\x07\x1b[2J\x9b2J\u202eb\udcff\x0dc"


def test_controls_are_written_out_and_layout_stays() -> None:
    assert printable(HOSTILE) == SAFE
    assert printable("a\tb\nc é 犬 👩‍🔬") == "a\tb\nc é 犬 👩‍🔬"
    assert one_line("a\tb\nc") == r"a\tb\nc"


def test_json_means_the_same_without_controls() -> None:
    text = json_printable(json.dumps(HOSTILE, ensure_ascii=False))
    assert text.isprintable()
    assert json.loads(text) == HOSTILE


def test_tables_of_any_format_are_without_controls() -> None:
    table = Table(title=HOSTILE, header=("name", HOSTILE), rows=((HOSTILE, "1"),), notes=(HOSTILE,))
    for text in (as_text([table], width=60), as_markdown([table])):
        assert "".join(text.split("\n")).isprintable(), ascii(text)
        assert "pwned" in text


def test_errors_logs_and_hints_are_without_controls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["report", f"{HOSTILE}.json"])
    logging.getLogger("edgekit").warning("said %s", HOSTILE)
    said = capsys.readouterr().err
    assert SAFE in said and f"said {SAFE}" in said
    assert "".join(said.split("\n")).isprintable(), ascii(said)
