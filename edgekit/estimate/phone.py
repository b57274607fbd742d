"""Whether results are a phone's, and whose."""

from __future__ import annotations

from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import Result
from edgekit.errors import InputError


def require_phone(result: Result, doing: str) -> None:
    """Refuse a result without a device's milliseconds.

    Args:
        result: The result.
        doing: Beginning of the message, e.g. `fitting to`.

    Raises:
        InputError: It was measured on an emulated device or on a host.
    """
    target = result.target
    where = None
    if target.emulated:
        where = "on an emulated device, which has no milliseconds"
    elif target.transport == "local":
        where = f"on a host ({target.soc or target.serial}), no device"
    if where is not None:
        raise InputError(
            f"{doing} {result.run_id}: measured {where}", hint="edgekit bench NAME --device PHONE"
        )


def phone_of(target: DeviceInfo) -> str:
    """Return model and SoC of a phone, which do not depend on how it is attached; else its serial."""
    return f"{target.model} ({target.soc})" if target.model and target.soc else target.serial
