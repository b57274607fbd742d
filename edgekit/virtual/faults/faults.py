"""The faults of a virtual device, and the table of those that are armed."""

from __future__ import annotations

import asyncio
import enum

import msgspec

from edgekit.errors import UsageError


class FaultName(enum.Enum):
    """Everything that can be made to go wrong."""

    DROP_AFTER_PUSH = "drop_after_push"
    DROP_AFTER_PULL = "drop_after_pull"
    DROP_AFTER_SHELL = "drop_after_shell"
    HANG_OPEN = "hang_open"
    HANG_PUSH = "hang_push"
    HANG_PULL = "hang_pull"
    HANG_SHELL = "hang_shell"
    OFFLINE = "offline"
    UNAUTHORIZED = "unauthorized"
    AUTHORIZE = "authorize"
    REFUSE = "refuse"
    DISK_FULL = "disk_full"
    READ_ONLY = "read_only"
    KILL = "kill"
    REBOOT = "reboot"
    REBOOT_AT_SHELL = "reboot_at_shell"
    CLOCK_JUMP = "clock_jump"
    SLOW = "slow"
    GREETING = "greeting"
    FREQUENCY = "frequency"
    TEMPERATURE = "temperature"
    BATTERY = "battery"


class FaultKind(msgspec.Struct, frozen=True, kw_only=True):
    """How a fault is used.

    Attributes:
        values: Names of its values, for help texts; empty where it has none.
        minimum, maximum: How many values it takes.
        lasting: It stays armed until cleared (or, with `once`, until it has struck); else it is an act.
    """

    values: str = ""
    minimum: int = 0
    maximum: int = 0
    lasting: bool = True
    does: str


FAULTS: dict[FaultName, FaultKind] = {
    FaultName.DROP_AFTER_PUSH: FaultKind(
        values="BYTES", minimum=1, maximum=1, does="cut the link after that many bytes of a pushed file"
    ),
    FaultName.DROP_AFTER_PULL: FaultKind(
        values="BYTES", minimum=1, maximum=1, does="cut the link after that many bytes of a pulled file"
    ),
    FaultName.DROP_AFTER_SHELL: FaultKind(
        values="BYTES", minimum=1, maximum=1, does="cut the link after that many bytes of a command's output"
    ),
    FaultName.HANG_OPEN: FaultKind(does="never answer when a service is opened"),
    FaultName.HANG_PUSH: FaultKind(
        values="[BYTES]", maximum=1, does="stop reading a pushed file after that many bytes"
    ),
    FaultName.HANG_PULL: FaultKind(
        values="[BYTES]", maximum=1, does="stop sending a pulled file after that many bytes"
    ),
    FaultName.HANG_SHELL: FaultKind(
        values="[BYTES]", maximum=1, does="stop passing on a command's output after that many bytes"
    ),
    FaultName.OFFLINE: FaultKind(does="take connections and never greet; adb calls that offline"),
    FaultName.UNAUTHORIZED: FaultKind(does="forget every key and accept none"),
    FaultName.AUTHORIZE: FaultKind(lasting=False, does="accept the offered keys, as the dialogue does"),
    FaultName.REFUSE: FaultKind(does="close the port"),
    FaultName.DISK_FULL: FaultKind(
        values="[FREE_BYTES]", maximum=1, does="leave no (or that much) room on the storage"
    ),
    FaultName.READ_ONLY: FaultKind(
        values="DIRECTORY", minimum=1, maximum=1, does="mount a directory read-only"
    ),
    FaultName.KILL: FaultKind(
        values="PATTERN [DELAY_MS]",
        minimum=1,
        maximum=2,
        does="SIGKILL the first process whose command line has PATTERN, as soon as there is one",
    ),
    FaultName.REBOOT: FaultKind(lasting=False, does="reboot now"),
    FaultName.REBOOT_AT_SHELL: FaultKind(
        values="[DELAY_MS]", maximum=1, does="reboot that long after the next command has started"
    ),
    FaultName.CLOCK_JUMP: FaultKind(
        values="SECONDS",
        minimum=1,
        maximum=1,
        does="shift the wall clock that ARM64 programs see; steady clocks go on undisturbed",
    ),
    FaultName.SLOW: FaultKind(values="BYTES_PER_S", minimum=1, maximum=1, does="limit the link's speed"),
    FaultName.GREETING: FaultKind(
        values="TEXT", minimum=1, maximum=1, does="print a line before every command's output"
    ),
    FaultName.FREQUENCY: FaultKind(
        values="CORE KHZ", minimum=2, maximum=2, lasting=False, does="set what a core's cluster runs at"
    ),
    FaultName.TEMPERATURE: FaultKind(
        values="ZONE CELSIUS",
        minimum=2,
        maximum=2,
        lasting=False,
        does="set a thermal zone, by number or type",
    ),
    FaultName.BATTERY: FaultKind(
        values="PERCENT", minimum=1, maximum=1, lasting=False, does="set the battery's level"
    ),
}


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One armed fault."""

    name: FaultName
    values: tuple[str, ...] = ()
    once: bool = False

    def number(self, default: int = 0) -> int:
        """The first value as a number, or `default` where there is none."""
        return int(self.values[0]) if self.values else default


def fault_name(text: str) -> FaultName:
    """A name as a user typed it; `hang-push` and `hang_push` are the same. Raises UsageError."""
    try:
        return FaultName(text.replace("-", "_"))
    except ValueError as error:
        names = ", ".join(fault.value for fault in FaultName)
        raise UsageError(
            f"no fault {text!r}; there are {names}", hint="edgekit virtual fault --help"
        ) from error


def parse_fault(name: str, values: tuple[str, ...] = (), *, once: bool = False) -> Fault:
    """Check a fault as a user typed it.

    Raises:
        UsageError: There is no such fault, or its values are wrong.
    """
    known = fault_name(name)
    kind = FAULTS[known]
    hint = f"edgekit virtual fault SERIAL {known.value} {kind.values}".strip()
    if not kind.minimum <= len(values) <= kind.maximum:
        raise UsageError(f"fault {known.value}: takes {kind.values or 'no value'}", hint=hint)
    text_first = known in (
        FaultName.READ_ONLY,
        FaultName.KILL,
        FaultName.TEMPERATURE,
        FaultName.GREETING,
    )
    for value in values[1:] if text_first else values:
        try:
            number = float(value) if known in (FaultName.TEMPERATURE, FaultName.CLOCK_JUMP) else int(value)
        except ValueError as error:
            raise UsageError(f"fault {known.value}: {value!r} is no number", hint=hint) from error
        if number < 0 and known not in (FaultName.TEMPERATURE, FaultName.CLOCK_JUMP):
            raise UsageError(f"fault {known.value}: {value} is negative", hint=hint)
    if known is FaultName.SLOW and values[0] == "0":
        raise UsageError("fault slow: 0 bytes a second is hang_push, hang_pull or hang_shell")
    if once and not kind.lasting:
        raise UsageError(f"fault {known.value}: happens at once; there is nothing to arm", hint=hint)
    return Fault(name=known, values=values, once=once)


class FaultTable:
    """The armed faults of a running device."""

    def __init__(self) -> None:
        self._armed: dict[FaultName, Fault] = {}
        self._changed = asyncio.Event()

    def arm(self, fault: Fault) -> None:
        self._armed[fault.name] = fault
        self._wake()

    def clear(self, name: FaultName | None = None) -> None:
        """Disarm one, or all."""
        if name is None:
            self._armed.clear()
        else:
            self._armed.pop(name, None)
        self._wake()

    def armed(self) -> list[Fault]:
        return list(self._armed.values())

    def get(self, name: FaultName) -> Fault | None:
        return self._armed.get(name)

    def strike(self, name: FaultName) -> Fault | None:
        """The fault if it is armed; a one-shot is used up by this."""
        fault = self._armed.get(name)
        if fault is not None and fault.once:
            self.clear(name)
        return fault

    def strike_after(self, name: FaultName, done_bytes: int) -> Fault | None:
        """Like `strike`, for faults that wait for a number of bytes."""
        fault = self._armed.get(name)
        return self.strike(name) if fault is not None and done_bytes >= fault.number() else None

    async def hold(self, name: FaultName, done_bytes: int = 0) -> None:
        """Wait as long as a hang is armed and has its bytes; a one-shot hang holds its victim for ever."""
        fault = self.strike_after(name, done_bytes)
        if fault is None:
            return
        if fault.once:
            await asyncio.Event().wait()
        while self.get(name) is not None:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
