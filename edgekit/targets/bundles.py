"""Runner bundles of engines for devices, and the engine that a device runs where none is named."""

from __future__ import annotations

import logging
import threading

from edgekit.core.device import DeviceInfo
from edgekit.device.packed import PackedBundle
from edgekit.device.probe import require_64_bit
from edgekit.engines.registry import DEVICE_ENGINE, device_side, native_engines
from edgekit.errors import DeviceError, ToolError
from edgekit.toolchain.build.bundle import ABIS, target_of
from edgekit.toolchain.bundles import assemble, available

# Named by hints where an engine's library cannot be had; it comes from a package registry.
OTHER_ENGINE = "onnxruntime"
logger = logging.getLogger("edgekit")


class Bundles:
    """Assemble and hash the runner bundle of each engine once for all devices of a command.

    Args:
        install: Whether a missing runtime may be installed on the way.
        other_engines: Whether the command has `--engine`, so that hints may name another.
    """

    def __init__(self, *, install: bool = True, other_engines: bool = True) -> None:
        self._install = install
        self._other_engines = other_engines
        self._packed: dict[tuple[str, str], PackedBundle] = {}
        self._guard = threading.Lock()

    def get(self, engine: str, info: DeviceInfo) -> PackedBundle:
        """Return the bundle of an engine for a device.

        Raises:
            ToolError: It cannot be assembled; the hint lists the remedies.
            UnsupportedError: The engine has no runner for the device's processor.
        """
        target = device_target(info)
        with self._guard:
            if (engine, target) not in self._packed:
                try:
                    bundle = assemble(engine, target, install=self._install, progress=logger.info)
                except ToolError as error:
                    if self._other_engines and engine != OTHER_ENGINE:
                        without = f"or go on without: --engine {OTHER_ENGINE}"
                        error.hint = without if error.hint is None else f"{error.hint}\n  {without}"
                    raise
                self._packed[engine, target] = PackedBundle(bundle)
            return self._packed[engine, target]

    def close(self) -> None:
        for packed in self._packed.values():
            packed.close()


def device_target(info: DeviceInfo) -> str:
    """Return the target of the bundles that a device runs. Raises DeviceError where there are none."""
    target = target_of(info.abis)
    if target is None:
        require_64_bit(info)
        raise DeviceError(
            f"using {info.serial}: it runs {', '.join(info.abis)}, edgekit has runners for "
            f"{', '.join(ABIS.values())}",
            hint="edgekit devices",
        )
    return target


def default_engine(info: DeviceInfo) -> str:
    """Return the engine of a device where none is named.

    That is Paddle Lite where it is pushed there or, with nothing pushed, installed here; else an engine for
    which that holds; else the first that the device's processor has a runner for. Engines without a native
    runner are named by those who want them.
    """
    target = device_target(info)
    suitable = [name for name in native_engines() if target in device_side(name).targets]
    suitable.sort(key=lambda name: name != DEVICE_ENGINE)
    here = [name for name in suitable if available(name, target)]
    pushed = [name for name in here if name in info.runtimes]
    chosen = next(iter([*pushed, *here, *suitable]))
    if chosen != DEVICE_ENGINE and DEVICE_ENGINE in suitable:
        where = "pushed to the device" if pushed else "installed here"
        logger.info("engine %s on %s: %s is not %s", chosen, info.serial, DEVICE_ENGINE, where)
    return chosen
