"""The process of one virtual device; its argument is the directory.

It reads `config.json` there, writes `pid` and, once it answers, `ready`; its log is the file that its
output goes to. SIGTERM stops it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from edgekit._files import write_atomic
from edgekit.virtual.adbd.acts import Acts
from edgekit.virtual.adbd.device import Device
from edgekit.virtual.config import Backend, DeviceConfig, decode_config
from edgekit.virtual.faults.control import serve_control
from edgekit.virtual.machine import namespace
from edgekit.virtual.machine.sandbox import NamespaceSandbox, ProotSandbox

logger = logging.getLogger("edgekit.virtual")


def main(directory: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    config = decode_config((directory / "config.json").read_bytes())
    write_atomic(directory / "pid", f"{os.getpid()}\n")
    if config.backend is Backend.USERNS:
        namespace.enter_private_machine(config.serial)
    asyncio.run(_live(config))


async def _live(config: DeviceConfig) -> None:
    sandbox = NamespaceSandbox(config) if config.backend is Backend.USERNS else ProotSandbox(config)
    device = Device(config, sandbox)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    control = await serve_control(config.directory, Acts(device).handle)
    await device.start()
    write_atomic(config.directory / "ready", "")
    logger.info("listening on %s (%s, %s)", config.address, config.soc, config.backend.value)
    await device.run_until(stopped)
    control.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
