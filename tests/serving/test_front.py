"""The service's page in a real browser, and `classify` with the means of any HTTP client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from edgekit.errors import InputError
from edgekit.serving.forms import read_files
from edgekit.toolchain.cache import cache_directory
from tests.browser import CUT, Browser, running_chromium
from tests.serving.services import MODEL, RANDOM_MODEL, SAMPLES, Service


def test_a_body_is_a_picture_or_several_parts() -> None:
    assert read_files(b"\xff\xd8\r\n--b", "image/jpeg") == [("", b"\xff\xd8\r\n--b")]
    first, second = b"\x89PNG\r\n\r\n--other\r\n", b"\r\r\n\n"
    head = b'--b--1\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n'
    body = head % (b"a b.png", first) + head % ("ü.png".encode(), second)
    read = read_files(body + b"--b--1--\r\n", 'multipart/form-data; boundary="b--1"')
    assert read == [("a b.png", first), ("ü.png", second)]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "image/png"),
        (b"", "multipart/form-data; boundary=b"),
        (b"--b\r\n\r\nx", "multipart/form-data; boundary=b"),
        (b"--b\r\nno head\r\n--b--", "multipart/form-data; boundary=b"),
        (b"--b\r\n\r\nx\r\n--b--", "multipart/form-data"),
    ],
)
def test_another_body_is_refused_with_what_is_asked(body: bytes, kind: str) -> None:
    with pytest.raises(InputError, match="the body is a picture, or multipart/form-data"):
        read_files(body, kind)


@pytest.mark.slow
def test_classify_answers_as_predict_does(service: Service, predicted: list[dict[str, object]]) -> None:
    path = f"/v2/models/{MODEL}/classify"
    status, text = service.post(path, SAMPLES[1].read_bytes(), **{"Content-Type": "image/png"})
    (answer,) = json.loads(text)
    assert status == 200 and answer["class_ids"] == predicted[1]["class_ids"]
    assert answer["label_names"] == predicted[1]["label_names"]
    assert answer["scores"] == pytest.approx(predicted[1]["scores"], abs=1e-4)
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n'
        % (sample.name.encode(), sample.read_bytes())
        for sample in SAMPLES
    )
    status, text = service.post(path, parts + b"--b--", **{"Content-Type": "multipart/form-data; boundary=b"})
    assert [(one["filename"], one["class_ids"]) for one in json.loads(text)] == [
        (sample.name, one["class_ids"]) for sample, one in zip(SAMPLES, predicted, strict=True)
    ]
    assert service.post(path, b"no picture")[0] == 400
    assert service.post("/v2/models/absent/classify", b"x")[0] == 404


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_chromium(tmp_path_factory.mktemp("chromium"), cache_directory("apt")) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1300])
def test_a_picture_is_uploaded_and_its_answer_read(
    service: Service, predicted: list[dict[str, object]], browser: Browser, width: int
) -> None:
    tab = browser.open(f"http://127.0.0.1:{service.rest}/", width=width, height=844, mobile=width == 390)

    def until(expression: str) -> object:
        deadline = time.monotonic() + 20
        while not (value := tab.evaluate(expression)):
            assert time.monotonic() < deadline, expression
            time.sleep(0.05)
        return value

    assert until(
        "[...document.getElementById('model').options].map(one => one.value).sort().join()"
    ) == ",".join(sorted((MODEL, RANDOM_MODEL)))
    assert tab.evaluate("document.getElementById('health').textContent") == "2 of 2 models ready"
    tab.evaluate(
        f"document.getElementById('model').value = '{MODEL}'; document.getElementById('model').oninput()"
    )
    assert f"/v2/models/{MODEL}/classify" in tab.evaluate("document.getElementById('curl').textContent")
    root = tab.call("DOM.getDocument")["root"]["nodeId"]
    node = tab.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    tab.call("DOM.setFileInputFiles", nodeId=node, files=[str(SAMPLES[1])])
    name = predicted[1]["label_names"]
    assert isinstance(name, list)
    assert until("document.querySelector('#bars span')?.textContent") == str(name[0])
    assert tab.evaluate("document.querySelector('#bars i').offsetWidth") > 20
    assert tab.evaluate("document.querySelector('#picture img').naturalWidth") > 0
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.evaluate(CUT) == []
    assert not tab.evaluate("document.getElementById('login').checkVisibility()")
    assert tab.complaints == []
    assert tab.faint() == []
    own = f"http://127.0.0.1:{service.rest}/"
    assert [url for url in tab.requests if not url.startswith((own, "data:", "blob:"))] == []
