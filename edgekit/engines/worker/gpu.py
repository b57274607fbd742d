"""NVIDIA GPU of an engine, described by CUDA's driver to this process."""

from typing import Any, Dict

from edgekit.engines.worker.refusal import RefusedError

DRIVER = "libcuda.so.1"
NAME_BYTES = 256
# CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h.
CAPABILITY_ATTRIBUTES = (75, 76)


def describe_gpu(device: int) -> Dict[str, Any]:
    """Return name, UUID (equal to NVML's), compute capability, and the driver's CUDA version.

    Args:
        device: CUDA's device number, which engines use too; `CUDA_VISIBLE_DEVICES` applies.

    Raises:
        RefusedError: Code `runtime` where the driver or the GPU is missing.
    """
    # Imported here, because edgekit imports the engines' files for their records.
    import ctypes
    import uuid

    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError as error:
        raise RefusedError(
            "runtime", "asked for a GPU, but NVIDIA's driver is not installed here ({})".format(error)
        ) from error

    def call(function: str, *arguments: Any) -> None:
        code = getattr(driver, function)(*arguments)
        if code != 0:
            said = ctypes.c_char_p()
            driver.cuGetErrorName(code, ctypes.byref(said))
            reason = (said.value or b"error").decode()
            raise RefusedError(
                "runtime", "asked for GPU {}: {} says {} ({})".format(device, function, reason, code)
            )

    call("cuInit", 0)
    handle, version, identity = ctypes.c_int(), ctypes.c_int(), (ctypes.c_ubyte * 16)()
    name = ctypes.create_string_buffer(NAME_BYTES)
    call("cuDeviceGet", ctypes.byref(handle), device)
    call("cuDeviceGetName", name, NAME_BYTES, handle)
    call("cuDeviceGetUuid", identity, handle)
    call("cuDriverGetVersion", ctypes.byref(version))
    capability = [ctypes.c_int(), ctypes.c_int()]
    for value, attribute in zip(capability, CAPABILITY_ATTRIBUTES):  # noqa: B905 (Python 3.10)
        call("cuDeviceGetAttribute", ctypes.byref(value), attribute, handle)
    return {
        "name": name.value.decode(errors="replace"),
        "uuid": "GPU-{}".format(uuid.UUID(bytes=bytes(identity))),
        "compute_capability": "{}.{}".format(capability[0].value, capability[1].value),
        "cuda_version": "{}.{}".format(version.value // 1000, version.value % 1000 // 10),
    }
