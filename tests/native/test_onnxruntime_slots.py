"""Our declaration of ONNX Runtime's C API against the real header and the installed library."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.toolchain.build.native import SOURCES

# The only registry package that carries the C header.
MODULE = "github.com/yalue/onnxruntime_go@v1.13.0"


def declared_slots() -> dict[str, int]:
    text = (SOURCES / "onnxruntime_slots.h").read_text()
    return {name: int(index) for name, index in re.findall(r"ORT_SLOT\((\w+), (\d+),", text)}


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """onnxruntime_c_api.h of API version 20, through the Go module proxy."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("needs go to fetch the header's module")
    work = tmp_path_factory.mktemp("go")
    done = subprocess.run(
        [go, "mod", "download", "-json", MODULE],
        cwd=work, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"needs the Go module {MODULE}: {done.stdout}{done.stderr}"[:300])
    return Path(json.loads(done.stdout)["Dir"]) / "onnxruntime_c_api.h"


def test_the_core_reaches_every_slot_by_its_right_index(header: Path, tmp_path: Path) -> None:
    """The compiler itself says where each function of the real `struct OrtApi` lies."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc)")
    slots = declared_slots()
    assert len(slots) > 25
    checks = "\n".join(
        f'_Static_assert(offsetof(struct OrtApi, {name}) == {index} * sizeof(void *), "{name}");'
        for name, index in slots.items()
    )
    constants = """
    _Static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT == 1, "type_names");
    _Static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 == 2, "type_names");
    _Static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 == 3, "type_names");
    _Static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 == 6, "type_names");
    _Static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 == 7, "type_names");
    _Static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL == 9, "type_names");
    _Static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 == 10, "type_names");
    _Static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE == 11, "type_names");
    _Static_assert(ORT_LOGGING_LEVEL_ERROR == 3, "ORT_LOGGING_ERROR");
    _Static_assert(OrtDeviceAllocator == 0 && OrtMemTypeDefault == 0, "ORT_DEVICE_ALLOCATOR");
    _Static_assert(ORT_NOT_IMPLEMENTED == 9, "ORT_NOT_IMPLEMENTED");
    _Static_assert(offsetof(struct OrtApiBase, GetApi) == 0, "GetApi");
    _Static_assert(offsetof(struct OrtApiBase, GetVersionString) == sizeof(void *), "GetVersionString");
    """
    source = tmp_path / "check.c"
    source.write_text(f'#include <stddef.h>\n#include "{header}"\n{constants}\n{checks}\n')
    done = subprocess.run(
        [compiler, "-std=c11", "-fsyntax-only", source],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_installed_library_serves_the_slots() -> None:
    """Through ctypes, by our indices: an environment is made and the error of a bad call is readable."""
    onnxruntime = pytest.importorskip("onnxruntime")
    (path,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.1*")
    library = ctypes.CDLL(str(path))
    library.OrtGetApiBase.restype = ctypes.POINTER(ctypes.c_void_p)
    base = library.OrtGetApiBase()
    version = ctypes.CFUNCTYPE(ctypes.c_char_p)(base[1])()
    assert version.decode() == onnxruntime.__version__
    table = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_uint32)(base[0])(7)
    slots = declared_slots()
    assert all(table[index] for index in slots.values())

    def call(name: str, result: object, *arguments: object) -> object:
        return ctypes.CFUNCTYPE(result, *(type(one) for one in arguments))(table[slots[name]])(*arguments)

    options, status = ctypes.c_void_p(), None
    status = call("CreateSessionOptions", ctypes.c_void_p, ctypes.c_void_p(ctypes.addressof(options)))
    assert status is None
    assert options.value
    status = call(
        "AddSessionConfigEntry", ctypes.c_void_p, options, ctypes.c_char_p(b""), ctypes.c_char_p(b"1")
    )
    assert status is not None
    assert call("GetErrorMessage", ctypes.c_char_p, ctypes.c_void_p(status))
    call("ReleaseStatus", None, ctypes.c_void_p(status))
    call("ReleaseSessionOptions", None, options)
