"""The configuration of a virtual device, a file that its process reads."""

from __future__ import annotations

import enum
from pathlib import Path

import msgspec


class Backend(enum.Enum):
    """How ARM64 programs run on the device."""

    USERNS = "userns"
    PROOT = "proot"


class AuthMode(enum.Enum):
    """How the device treats adb's keys: needs none, shows a dialogue, refuses all."""

    NONE = "none"
    PROMPT = "prompt"
    DENY = "deny"


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A device that can be started.

    Attributes:
        serial: Its own name (`ro.serialno`), not the address.
        directory: Where it lives; `root` and `machine` are below.
        port: The port to listen on.
        storage_bytes: Size of the storage; None where it is not limited (proot).
        qemu: The emulator.
        host_libraries: Host directories with the emulator's libraries, and where the device shows them.
        proot: Program of the backend `proot`; None for the other.
        counting: Whether it has the instruction counter.
        shimmed: Whether its emulator answers for the device's clock and cores (`machine_shim.c`).
        boot_ms: How long a reboot takes.
    """

    serial: str
    soc: str
    directory: Path
    port: int
    backend: Backend
    auth: AuthMode = AuthMode.NONE
    storage_bytes: int | None = None
    qemu: Path
    host_libraries: dict[str, str] = {}
    proot: Path | None = None
    counting: bool = False
    shimmed: bool = False
    boot_ms: int = 1500

    @property
    def address(self) -> str:
        """HOST:PORT of the device, which `--device` takes."""
        return f"127.0.0.1:{self.port}"


def encode_config(config: DeviceConfig) -> bytes:
    return msgspec.json.encode(config, enc_hook=str)


def decode_config(data: bytes) -> DeviceConfig:
    """Raises msgspec.ValidationError."""
    return msgspec.json.decode(data, type=DeviceConfig, dec_hook=lambda kind, value: kind(value))
