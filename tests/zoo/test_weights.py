"""Official, random and own weights, good and bad."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.core.spec import ModelSpec
from edgekit.errors import InputError, ToolError
from edgekit.parity.reference import INPUTS
from edgekit.targets.inputs import seeded_inputs
from edgekit.zoo.build import build_network
from edgekit.zoo.pretrained import find_pretrained, weights_path
from edgekit.zoo.registry import find_model
from edgekit.zoo.state_file import read_pdparams
from edgekit.zoo.weights import build_with_weights, check_fit, locate_weights, parameter_shapes
from tests.conftest import NEEDS_PADDLE

paddle = pytest.importorskip("paddle", reason=NEEDS_PADDLE)

DOC_ORI = "PPLCNet_x1_0_doc_ori"
SMALLEST = "PPLCNet_x0_25"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `.pdparams` of PPLCNet_x0_25 with seven classes, written as PaddleClas does."""
    path = tmp_path_factory.mktemp("trained") / "best_model.pdparams"
    network, _ = build_with_weights(find_model(SMALLEST), "random", num_classes=7, seed=3)
    paddle.save(network.state_dict(), str(path))
    return path


def logits(network, images: np.ndarray) -> np.ndarray:
    with paddle.no_grad():
        return network(paddle.to_tensor(images)).numpy()


def noise(count: int, seed: int = 11, shape: tuple[int, ...] = (3, 224, 224)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


@pytest.mark.parametrize(("name", "classes"), [(DOC_ORI, 4), ("PPLCNet_x1_0_textline_ori", 2)])
def test_orientation_equals_the_onnx_model_that_it_comes_from(name: str, classes: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    spec = find_model(name)
    network, found = build_with_weights(spec, "pretrained")
    assert (found.source, found.num_classes) == ("pretrained", classes)
    assert found.sha256 == spec.weights.package_sha256
    session = onnxruntime.InferenceSession(found.path, providers=["CPUExecutionProvider"])
    images = noise(4, shape=spec.input_shape)
    expected = session.run(None, {session.get_inputs()[0].name: images})[0]
    scores = paddle.nn.functional.softmax(paddle.to_tensor(logits(network, images))).numpy()
    assert np.abs(scores - expected).max() < 1e-6


def test_document_orientation_is_right_on_its_samples() -> None:
    cv2 = pytest.importorskip("cv2")
    spec = find_model(DOC_ORI)
    network, _ = build_with_weights(spec, "pretrained")
    assert {sample.class_id for sample in spec.samples} == {0, 1, 2, 3}
    for sample in spec.samples:
        page = cv2.cvtColor(cv2.imread(sample.file), cv2.COLOR_BGR2RGB)
        ratio = spec.preprocess.resize_short / min(page.shape[:2])
        page = cv2.resize(page, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_LINEAR)
        top, left = (page.shape[0] - 224) // 2, (page.shape[1] - 224) // 2
        crop = page[top : top + 224, left : left + 224] / 255
        image = ((crop - spec.preprocess.mean) / spec.preprocess.std).transpose(2, 0, 1)
        scores = logits(network, image[None].astype(np.float32))[0]
        assert scores.argmax() == sample.class_id
        assert np.sort(scores)[-1] - np.sort(scores)[-2] > 1


@pytest.mark.parametrize(
    "name", [SMALLEST, "PPLCNet_x1_0", pytest.param("PPHGNet_tiny", marks=pytest.mark.slow)]
)
def test_random_weights_tell_inputs_apart(name: str) -> None:
    network, found = build_with_weights(find_model(name), "random")
    assert (found.source, found.sha256) == ("random (seed 0)", None)
    assert not network.training
    outputs = logits(network, noise(6))
    assert len(set(outputs.argmax(axis=1))) >= 3
    assert outputs.std(axis=0).mean() > 0.05
    # Every batch norm has statistics of its own inputs: none is dead or at its initial value.
    variances = [value.numpy() for key, value in network.state_dict().items() if key.endswith("_variance")]
    assert all(np.isfinite(each).all() and each.mean() > 1e-4 for each in variances)


@pytest.mark.parametrize("name", ["PPLCNet_x0_5", "EfficientNetB0"])
def test_random_weights_answer_the_compared_inputs_apart(name: str) -> None:
    """Where they did not, an engine that answers the same whatever it is given would agree."""
    card = find_model(name)
    network, _ = build_with_weights(card, "random")
    scores = paddle.nn.functional.softmax(
        paddle.to_tensor(logits(network, seeded_inputs(INPUTS, card.input_shape)))
    ).numpy()
    # 7e-6 of EfficientNetB0 before batch norm had a bias of 1.
    assert np.abs(scores[1] - scores[0]).max() > 0.01 * np.ptp(scores)


@pytest.mark.parametrize("name", ["EfficientNetLite0", pytest.param("ResNet101_vd", marks=pytest.mark.slow)])
def test_random_weights_do_not_magnify_an_error_of_the_input(name: str) -> None:
    card = msgspec.structs.replace(find_model(name), input_shape=(3, 64, 64))
    network, _ = build_with_weights(card, "random")
    images = noise(5, shape=card.input_shape)
    exact, changed = logits(network, images[:4]), logits(network, images[:4] + 1e-3 * images[4])
    # Relative to the deviation of each; 37 and 524 times before batch norm had a bias of 1.
    assert (changed - exact).std() < 6e-3 * exact.std()


def test_random_weights_repeat_by_seed() -> None:
    spec = find_model(SMALLEST)
    states = [build_with_weights(spec, "random", seed=seed)[0].state_dict() for seed in (1, 1, 2)]
    arrays = [{key: value.numpy() for key, value in state.items()} for state in states]
    assert all((arrays[0][key] == arrays[1][key]).all() for key in arrays[0])
    assert (arrays[0]["fc.weight"] != arrays[2]["fc.weight"]).any()


def test_own_weights_bring_their_number_of_classes(trained: Path) -> None:
    spec = find_model(SMALLEST)
    network, found = build_with_weights(spec, str(trained))
    assert (found.source, found.num_classes) == ("best_model.pdparams", 7)
    original, _ = build_with_weights(spec, "random", num_classes=7, seed=3)
    images = noise(2)
    assert (logits(network, images) == logits(original, images)).all()


def test_own_weights_with_another_number_of_classes_are_refused(trained: Path) -> None:
    spec = find_model(SMALLEST)
    with pytest.raises(InputError, match="it has 7 classes, not 10"):
        build_with_weights(spec, str(trained), num_classes=10)
    shapes = {key: array.shape for key, array in read_pdparams(trained).items()}
    with pytest.raises(InputError, match=r"2 mis-shaped \(fc.weight \[1280, 7\] instead of \[1280, 1000\]"):
        check_fit(spec, str(trained), shapes, parameter_shapes(build_network(spec)))


@pytest.mark.parametrize("name", ["PPLCNet_x0_5", "PPHGNet_tiny"])
def test_weights_of_another_model_are_named(trained: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        build_with_weights(find_model(name), str(trained))
    assert "mis-shaped" in caught.value.message and name in caught.value.message
    assert caught.value.hint == f"these are weights of {SMALLEST}; export that model"


def test_missing_and_unexpected_keys_are_listed(trained: Path, tmp_path: Path) -> None:
    state = read_pdparams(trained)
    renamed = {key.replace("conv1.bn.", "conv1.norm."): value for key, value in state.items()}
    path = tmp_path / "renamed.pdparams"
    path.write_bytes(pickle.dumps(renamed, protocol=4))
    with pytest.raises(InputError) as caught:
        build_with_weights(find_model(SMALLEST), str(path))
    assert "4 missing (conv1.bn.weight, conv1.bn.bias, conv1.bn._mean, …)" in caught.value.message
    assert "4 unexpected (conv1.norm.weight, conv1.norm.bias, conv1.norm._mean, …)" in caught.value.message


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_reads_what_paddle_saves(tmp_path: Path, protocol: int) -> None:
    layer = paddle.nn.Linear(3, 2)
    path = tmp_path / "layer.pdparams"
    paddle.save(layer.state_dict(), str(path), protocol=protocol)
    read = read_pdparams(path)
    assert list(read) == ["weight", "bias"]
    assert (read["weight"] == layer.weight.numpy()).all()


def test_reads_tensors_that_paddle_saves_with_their_names(tmp_path: Path) -> None:
    path = tmp_path / "tensor.pdparams"
    tensor = paddle.to_tensor([[1.0, 2.0], [3.0, 4.0]])
    paddle.save({"deep": {"w": tensor}}, str(path))
    with pytest.raises(InputError, match="a dict under 'deep'"):
        read_pdparams(path)
    # The same pickled pairs, one level up.
    path.write_bytes(pickle.dumps({"w": ("generated_tensor_0", tensor.numpy())}, protocol=4))
    assert read_pdparams(path)["w"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", "<i8"])
def test_reads_arrays_of_any_kind_of_number(tmp_path: Path, protocol: int, dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    path = tmp_path / "arrays.pdparams"
    path.write_bytes(pickle.dumps({"c": array, "fortran": np.asfortranarray(array)}, protocol=protocol))
    read = read_pdparams(path)
    assert read["c"].tolist() == read["fortran"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read["c"].dtype == np.float32


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_malicious_pickle_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pdparams"
    path.write_bytes(pickle.dumps({"conv1.conv.weight": Malicious(tmp_path / "owned")}))
    with pytest.raises(InputError, match="mkdir"):
        read_pdparams(path)
    assert not (tmp_path / "owned").exists()
    pickle.loads(path.read_bytes())
    assert (tmp_path / "owned").exists(), "the file is no attack at all"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_weights_are_refused(trained: Path, tmp_path: Path, share: float) -> None:
    whole = trained.read_bytes()
    path = tmp_path / "cut.pdparams"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"cut\.pdparams"):
        read_pdparams(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400))
def test_random_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "noise.pdparams"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"noise\.pdparams"):
        read_pdparams(path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 5000), value=st.integers(0, 255), protocol=st.sampled_from([2, 4, 5]))
def test_a_flipped_byte_is_refused_or_harmless(tmp_path: Path, place: int, value: int, protocol: int) -> None:
    state = {"fc.weight": np.ones((3, 2), np.float32), "fc.bias": np.zeros(2, np.float32)}
    content = bytearray(pickle.dumps(state, protocol=protocol))
    content[place % len(content)] = value
    path = tmp_path / "flipped.pdparams"
    path.write_bytes(content)
    try:
        read = read_pdparams(path)
    except InputError:
        return
    assert all(array.dtype == np.float32 for array in read.values())
    assert (np.ones(2, np.float32) + 1).tolist() == [2, 2], "numpy itself is unharmed"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([1, 2], "a list instead of a state dict"),
        ({}, "empty"),
        ({"fc.weight": "text"}, "a str under 'fc.weight'"),
        ({"model": {"fc.weight": np.ones(2)}}, "a dict under 'model'"),
        ({"fc.weight": np.array([1, np.nan], np.float32)}, "NaN"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, state: object, message: str) -> None:
    path = tmp_path / "other.pdparams"
    path.write_bytes(pickle.dumps(state))
    with pytest.raises(InputError, match=message):
        read_pdparams(path)


def test_a_path_that_is_no_weight_file(tmp_path: Path, trained: Path) -> None:
    spec = find_model(SMALLEST)
    with pytest.raises(InputError, match="no such file") as caught:
        locate_weights(spec, str(trained.with_suffix("")))
    assert caught.value.hint == f"did you mean {trained}?"
    with pytest.raises(InputError, match="a directory"):
        locate_weights(spec, str(tmp_path))


def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: ModelSpec, weights: Path) -> Path:
    """Put weights where a mirror would have a model's official ones."""
    address = spec.weights.pretrained_url
    assert address is not None
    published = tmp_path / "mirror" / address.removeprefix("https://")
    published.parent.mkdir(parents=True)
    shutil.copy(weights, published)
    monkeypatch.setenv("EDGEKIT_MIRROR", str(tmp_path / "mirror"))
    return published


def test_official_weights_are_fetched_once_and_checked_ever_after(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    trained: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec = find_model(SMALLEST)
    published = served(tmp_path, monkeypatch, spec, trained)
    path, digest = find_pretrained(spec)
    assert path == cache / "PPLCNet_x0_25_pretrained.pdparams" == weights_path(spec)
    assert path.read_bytes() == trained.read_bytes()
    origin, recorded = (cache / f"{path.name}.sha256").read_text().splitlines()
    assert recorded == f"{digest}  {path.name}"
    assert origin.startswith("# 20") and origin.endswith(f" from {published}")

    path.write_bytes(b"damaged")
    assert find_pretrained(spec) == (path, digest)
    assert path.read_bytes() == trained.read_bytes()

    published.unlink()
    assert find_pretrained(spec) == (path, digest), "the cache needs no network"

    path.write_bytes(b"damaged")
    with pytest.raises(ToolError) as caught:
        find_pretrained(spec)
    assert str(path) in caught.value.hint and "--weights random" in caught.value.hint


def test_official_weights_that_changed_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, trained: Path
) -> None:
    spec = find_model(SMALLEST)
    published = served(tmp_path, monkeypatch, spec, trained)
    path, digest = find_pretrained(spec)
    path.unlink()
    network, _ = build_with_weights(spec, "random", seed=9)
    paddle.save(network.state_dict(), str(published))
    with pytest.raises(ToolError, match=digest) as caught:
        find_pretrained(spec)
    assert f"edgekit fetch {SMALLEST} --trust-new" in caught.value.hint
    assert not path.exists()


def test_a_page_instead_of_weights_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, trained: Path
) -> None:
    spec = find_model(SMALLEST)
    served(tmp_path, monkeypatch, spec, trained).write_text("<html>please log in</html>")
    with pytest.raises(ToolError, match="what came is not the file"):
        find_pretrained(spec)
    assert [path.name for path in cache.iterdir() if not path.name.startswith(".")] == []


def test_weights_put_into_the_cache_by_hand_are_taken(
    monkeypatch: pytest.MonkeyPatch, cache: Path, trained: Path
) -> None:
    spec = find_model(SMALLEST)
    monkeypatch.setenv("EDGEKIT_MIRROR", "http://127.0.0.1:9")
    cache.mkdir(parents=True)
    shutil.copy(trained, weights_path(spec))
    assert locate_weights(spec, "pretrained").num_classes == 7
    assert (cache / "PPLCNet_x0_25_pretrained.pdparams.sha256").is_file()
