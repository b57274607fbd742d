"""The zoo's page and picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgekit
from edgekit.estimate.soc_model import load_soc
from edgekit.pages.zoo import chart, list_networks, zoo_page, zoo_picture
from edgekit.toolchain.cache import cache_directory
from edgekit.zoo.registry import model_names
from tests.browser import CUT, Browser, running_chromium
from tests.conftest import RunCli

TEXT = "{http://www.w3.org/2000/svg}text"


def test_every_network_is_a_row(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli(["models", "--html", "zoo.html"], cwd=tmp_path)
    assert (done.exit_code, done.stdout) == (0, "")
    text = (tmp_path / "zoo.html").read_text(encoding="utf-8").replace("<wbr>", "")
    names = re.findall(r'<th scope="row"><span>(\w+)<', text)
    assert sorted(names) == sorted(model_names())
    assert run_cli(["models", "--html", "zoo.html", "list"], cwd=tmp_path).exit_code == 2


def test_the_front_is_what_no_other_beats() -> None:
    soc = load_soc("sd855")
    networks = [
        one
        for one in list_networks([soc])
        if one.name in ("PPLCNet_x1_0", "PPLCNet_x1_0_ssld", "MobileNetV1")
    ]
    drawn = ElementTree.fromstring(chart(networks, soc))
    names = [one.text for one in drawn.iter(TEXT)]
    # The distilled network is as fast and more accurate; MobileNetV1 is slower and less accurate.
    assert "PPLCNet_x1_0_ssld" in names and "PPLCNet_x1_0" not in names
    assert chart(networks, soc).count("<title>") == 3


def test_the_picture_is_small_and_stands_alone() -> None:
    picture = zoo_picture()
    assert len(picture.encode()) < 20_000
    assert "prefers-color-scheme" in picture and "href" not in picture


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_chromium(tmp_path_factory.mktemp("chromium"), cache_directory("apt")) as running:
        yield running


@pytest.mark.slow
def test_the_page_sorts_and_filters(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(zoo_page(), encoding="utf-8")
    tab = browser.open((tmp_path / "a.html").as_uri(), width=390, height=844, mobile=True)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate(CUT) == []
    first = "document.querySelector('#networks tbody tr:not([hidden]) th').firstChild.textContent"
    accuracy = "document.querySelector('#networks tbody td').textContent"
    sort = "document.querySelectorAll('#networks thead button')[1].click()"
    tab.evaluate(sort)
    assert tab.evaluate(accuracy) == "20.30 mAP"
    tab.evaluate(sort)
    assert tab.evaluate(accuracy) == "93.50 mAP"
    tab.evaluate("{const name = document.getElementById('name'); name.value = 'hgnet_';"
                 "name.dispatchEvent(new Event('input'))}")  # fmt: skip
    assert tab.evaluate(first) == "PPHGNet_base_ssld"
    assert (
        tab.evaluate("document.getElementById('count').textContent") == f"5 of {len(model_names())} networks"
    )
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
    assert tab.complaints == []
    assert tab.faint() == []


@pytest.mark.slow
def test_a_choice_can_be_read_on_a_phone(browser: Browser, tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli(["choose", "--soc", "sd845", "--max-ms", "30", "--html", "a.html"], cwd=tmp_path)
    assert done.exit_code == 0
    tab = browser.open((tmp_path / "a.html").as_uri(), width=390, height=844, mobile=True)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate(CUT) == []
    networks = len(edgekit.choose("sd845", max_ms=30).candidates)
    assert tab.evaluate("document.querySelectorAll('.zoo title').length") == networks
    assert tab.faint() == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
    assert tab.complaints == []
