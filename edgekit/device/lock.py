"""One command at a time holds a device: a measurement beside another one is worth nothing.

On this machine a lock file per serial; on the device, for commands from other machines, a directory
that names a shell there which reads from its holder's connection. However the holder ends (killed,
cable pulled, host switched off) that shell reads end of file and ends, and a lock whose shell is gone
is stale. (`flock` would be simpler; not every busybox has it.)
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator

from edgekit._files import locked
from edgekit.errors import DeviceError, DeviceLostError, OutputError, UsageError
from edgekit.toolchain.cache import cache_directory
from edgekit.transports.interface import DeviceTransport, RemoteProcess

logger = logging.getLogger("edgekit.device")

WAIT_VARIABLE = "EDGEKIT_DEVICE_WAIT"
DEFAULT_WAIT_S = 60.0
# An earlier hold of this command whose link was cut ends within this time.
OWN_WAIT_S = 5.0
ANSWER_TIMEOUT_S = 15.0
POLL_S = 0.5

# $1 directory, $2 owner, $3 a word by which this shell is known among processes.
_HOLD = """refuse() { echo "$1" >&2; echo refused; exit 1; }
mkdir -p "$1" && cd "$1" || refuse "$1 cannot be made"
[ -w . ] || refuse "$1 is not writable"
alive() { case $(tr '\\000' ' ' < "/proc/$1/cmdline" 2>/dev/null) in *"$2"*) return 0 ;; esac; return 1; }
n=0
while ! mkdir lock 2>/dev/null; do
  [ -d lock ] || refuse "no lock can be made in $1"
  p=; w=; o=; { read -r p w o < lock/owner; } 2>/dev/null
  if [ -z "$w" ] && [ $n -lt 3 ]; then n=$((n + 1)); sleep 1; continue; fi
  if [ -n "$w" ] && alive "$p" "$w"; then echo "busy $o"; exit 0; fi
  mv lock "lock.$$" 2>/dev/null && rm -rf "lock.$$"
done
echo "$$ $3 $2" > lock/owner || { rm -rf lock; refuse "no lock can be written in $1"; }
rm -rf run; mkdir run || { rm -rf lock; refuse "no directory can be made in $1"; }
echo held
cat > /dev/null
rm -rf lock
"""


def wait_s() -> float:
    """How long to wait for a device that another command holds: `$EDGEKIT_DEVICE_WAIT`, else 60 s.

    Raises:
        UsageError: The variable is no number.
    """
    text = os.environ.get(WAIT_VARIABLE)
    if text is None:
        return DEFAULT_WAIT_S
    try:
        return max(0.0, float(text))
    except ValueError:
        raise UsageError(f"reading ${WAIT_VARIABLE}: {text!r} is no number of seconds") from None


class Hold:
    """The lock of a device, as long as it is held.

    Args:
        transport: The device.
        root: edgekit's directory there.
        timeout_s: How long to wait for another command.
    """

    def __init__(self, transport: DeviceTransport, root: str, timeout_s: float) -> None:
        self._transport, self._root, self._timeout_s = transport, root, timeout_s
        self._process: RemoteProcess | None = None

    def take(self, deadline: float, own_deadline: float) -> None:
        """Wait for other commands until `deadline`, for this one until `own_deadline`; raises as `held`."""
        self._process = _hold_there(self._transport, self._root, deadline, own_deadline, self._timeout_s)

    @property
    def process(self) -> RemoteProcess | None:
        """The process on the device that holds the lock; None where it or its link has ended.

        A link ends with the machine behind it: as long as one process holds, one machine answers.
        """
        try:
            ended = self._process is None or self._process.read_line(0.0) is None
        except TimeoutError:
            return self._process
        except DeviceLostError:
            ended = True
        return None if ended else self._process

    def renew(self) -> None:
        """Take the lock again where its link was cut and has come back; nothing else is done.

        Raises:
            DeviceError: Another command has taken it meanwhile.
            DeviceLostError: The link has not come back.
        """
        if self.process is None:
            self.release()
            deadline = time.monotonic() + self._timeout_s
            self.take(deadline, deadline)
            logger.warning(
                "the link to %s was cut and came back; the device is held again", self._transport.serial
            )

    def release(self) -> None:
        """Give the device free."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.close(5.0)
        except DeviceLostError:
            # The lock went with the link; the block's own error matters more.
            logger.info("the device went away while it was held")


@contextlib.contextmanager
def held(transport: DeviceTransport, root: str, *, timeout_s: float | None = None) -> Iterator[Hold]:
    """Hold a device for the block; `root`/run is empty then, for the holder's inputs and outputs.

    Args:
        transport: The device.
        root: edgekit's directory there.
        timeout_s: How long to wait for another command; as `wait_s` says where None.

    Raises:
        DeviceError: Another command has it, which the message names; or `root` cannot be written.
        DeviceLostError: The device went away.
    """
    limit_s = wait_s() if timeout_s is None else timeout_s
    deadline = time.monotonic() + limit_s
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", transport.serial).strip("-")
    here = locked(
        cache_directory("locks") / f"{name}.lock", f"device {transport.serial}", timeout_s=max(limit_s, 0.01)
    )
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(here)
        except OutputError as error:
            if "still in use" not in error.message:
                raise
            raise DeviceError(error.message, hint=error.hint) from error
        hold = Hold(transport, root, limit_s)
        hold.take(deadline, min(deadline, time.monotonic() + OWN_WAIT_S))
        try:
            yield hold
        finally:
            hold.release()


def _hold_there(
    transport: DeviceTransport, root: str, deadline: float, own_deadline: float, limit_s: float
) -> RemoteProcess:
    owner = f"{getpass.getuser()}@{socket.gethostname()} process {os.getpid()}"
    told = False
    while True:
        process = transport.open(
            ["sh", "-c", _HOLD, "sh", root, owner, f"edgekit-lock-{secrets.token_hex(8)}"]
        )
        try:
            answer = process.read_line(ANSWER_TIMEOUT_S) or ""
        except TimeoutError as error:
            process.kill()
            raise DeviceLostError(
                f"locking {transport.serial}: no answer within {ANSWER_TIMEOUT_S:g} s", hint="edgekit devices"
            ) from error
        if answer == "held":
            return process
        process.close(5.0)
        if not answer.startswith("busy"):
            said = process.stderr_text().strip().splitlines()
            raise DeviceError(
                f"using {root} on {transport.serial}: {said[-1] if said else 'it cannot be written'}",
                hint="choose a device whose directory is writable, or mend its permissions",
            )
        other = answer.removeprefix("busy").strip() or "another command"
        if other == owner and time.monotonic() > own_deadline:
            raise DeviceError(
                f"using {transport.serial}: this command holds that device already",
                hint="name a device once, by one of its serials",
            )
        if time.monotonic() > deadline:
            raise DeviceError(
                f"using {transport.serial}: still in use by {other} after {limit_s:g} s",
                hint="wait for it to end, or stop that process",
            )
        if not told and other != owner:
            logger.warning("%s is in use by %s; waiting", transport.serial, other)
            told = True
        time.sleep(POLL_S)
