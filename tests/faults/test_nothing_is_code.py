"""Nothing from a file is code: every reader is given pickles, YAML tags and expressions that would act."""

from __future__ import annotations

import ast
import contextlib
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.bench.config import load_config
from edgekit.bench.results import load_result
from edgekit.convert.formats.nb import read_operators
from edgekit.convert.importing.configuration import read_configuration
from edgekit.convert.manifest import load_manifest
from edgekit.errors import EdgekitError
from edgekit.estimate.soc_model import load_soc
from edgekit.training.checkpoint import CHECKPOINT_FILE, read_checkpoint
from edgekit.training.settings import read_settings
from edgekit.vision.decode import decode
from edgekit.vision.labels import load_labels
from edgekit.vision.lists import count_list
from edgekit.zoo.registry import read_card
from edgekit.zoo.state_file import read_onnx_state, read_pdparams

PACKAGE = Path(__file__).parents[2] / "edgekit"


class Acts:
    """Pickled, it calls `Path.touch` where it is loaded."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._marker,)


# Name of the file, and what reads it.
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "weights": ("net.pdparams", read_pdparams),
    "weights in ONNX": ("net.onnx", lambda path: read_onnx_state(path, {"fc.weight": "linear_0.w_0"})),
    "checkpoint": (CHECKPOINT_FILE, lambda path: read_checkpoint(path.parent)),
    "training settings": ("settings.json", read_settings),
    "manifest": ("manifest.json", lambda path: load_manifest(path.parent)),
    "card": ("card.toml", read_card),
    "bench configuration": ("bench.toml", load_config),
    "result": ("result.json", load_result),
    "preprocessing": ("preprocess.toml", read_configuration),
    "YAML": ("inference.yml", read_configuration),
    "PaddleX": ("config.json", read_configuration),
    "SoC": ("soc.toml", lambda path: load_soc(str(path))),
    "labels": ("labels.txt", load_labels),
    "list": ("list.txt", lambda path: count_list(path, 10)),
    "picture": ("a.png", lambda path: decode(path.read_bytes(), "a.png")),
    ".nb": ("net.nb", read_operators),
}


def payloads(marker: Path) -> dict[str, bytes]:
    """Contents by name; each would make the file `marker` where it was taken for code."""
    command = f"touch {marker}"
    call = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    tag = f"!!python/object/apply:os.system ['{command}']"
    return {
        "pickle": pickle.dumps(Acts(marker), protocol=2),
        "pickle in a state dict": pickle.dumps({"fc.weight": Acts(marker), "progress": Acts(marker)}, 4),
        "YAML tag": f"PreProcess: {tag}\nPostProcess: {tag}\n".encode(),
        "YAML tag in a label": f"PostProcess:\n  Topk: {{topk: 1, label_list: [{tag}]}}\n".encode(),
        "expression in YAML": (
            f'PreProcess:\n  transform_ops:\n  - NormalizeImage: {{scale: "{call}", mean: "{call}"}}\n'
        ).encode(),
        "expression in TOML": f"scale = '''{call}'''\nname = '''{call}'''\nthreads = '''{call}'''\n".encode(),
        "expression in JSON": f'{{"schema_version": "{call}", "name": "$({command})"}}'.encode(),
        "lines": f"$({command}) 0\n`{command}` 1\n{{{{{call}}}}} 2\n".encode(),
    }


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_does_nothing_that_a_file_says(tmp_path: Path, reader: str) -> None:
    marker = tmp_path / "acted"
    name, read = READERS[reader]
    for content in payloads(marker).values():
        (tmp_path / name).write_bytes(content)
        with contextlib.suppress(EdgekitError):
            read(tmp_path / name)
        assert not marker.exists()


def test_the_pickle_would_act(tmp_path: Path) -> None:
    pickle.loads(payloads(tmp_path / "acted")["pickle"])
    assert (tmp_path / "acted").exists()


# Calls that run what a file holds; where one stands, a comment there says why it is harmless.
ACTING = {
    "eval", "exec", "compile", "pickle.load", "pickle.loads", "pickle.Unpickler", "paddle.load", "torch.load",
    "marshal.load", "marshal.loads", "shelve.open", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "joblib.load", "os.system", "os.popen",
}  # fmt: skip
LAST_WORDS = {name.rpartition(".")[2] for name in ACTING}


def test_no_module_calls_what_runs_files() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            # Writing a call as text is slow: only those whose last word may be one of them.
            name = ast.unparse(node.func) if called is None or called in LAST_WORDS else called
            unpickles = any(
                word.arg == "allow_pickle" and ast.unparse(word.value) != "False" for word in node.keywords
            )
            if name in ACTING or unpickles:
                found.append(f"{path.name}:{node.lineno} {name}")
    assert found == []
