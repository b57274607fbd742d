"""edgekit's store of files on a device, named by their content.

    ROOT/models/SHA256.SUFFIX   models and labels, named by their content
    ROOT/bundles/ID/...         a runner with its libraries; ID is the hash of all its files
    ROOT/run/                   inputs and outputs of the command that holds the device
    ROOT/verified               size and change time of every file whose hash was checked there
    ROOT/lock/                  see `edgekit.device.lock`

A file arrives under its name only after its hash was compared over there, so one whose size and
change time are still those of that moment needs no second look; any other is hashed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.errors import DeviceError
from edgekit.transports.far_shell import parse_df
from edgekit.transports.interface import DeviceTransport, Outgoing, Progress

ADB_ROOT = "/data/local/tmp/edgekit"
HOME_ROOT = ".cache/edgekit-device"
OWNED = ("models", "bundles", "run", "verified", "lock")
INSPECT_TIMEOUT_S = 30.0
# Bytes kept free beside the files that are sent: for outputs and for the system itself.
SPARE_BYTES = 16_000_000
_MARK = "== edgekit "

# $1 root, then paths relative to it. What cut pushes have left is removed: the caller holds the lock.
_INSPECT = """cd "$1" 2>/dev/null || { df -kP "${1%/*}"; exit 0; }
shift
for p in models/.edgekit-*.part bundles/*/.edgekit-*.part bundles/*/*/.edgekit-*.part run/.edgekit-*.part; do
  [ ! -e "$p" ] || rm -rf "$p"
done
df -kP .
echo "== edgekit verified"; cat verified 2>/dev/null
echo "== edgekit present"; stat -c '%s %Z %n' "$@" 2>/dev/null
true
"""
_RECORD = 'cd "$1" && shift && stat -c "%s %Z %n" "$@" >> verified'
_CLEAN = """root=$1; shift; [ -d "$root" ] || { echo 0; exit 0; }
cd "$root" || exit 1
k=$(du -sk . 2>/dev/null); rm -rf "$@" || exit 1
cd /; rmdir "$root" 2>/dev/null; set -- $k; echo "${1:-0}"
"""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a device should have.

    Attributes:
        path: Relative to the store's root.
    """

    local: Path
    path: str
    sha256: str
    size_bytes: int
    mode: int = 0o644


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """Items compared with the store.

    Attributes:
        missing: Not there, or of another size.
        doubtful: There, but touched since its hash was checked.
    """

    missing: tuple[Item, ...]
    doubtful: tuple[Item, ...]
    free_bytes: int | None


def store_root(transport: DeviceTransport) -> str:
    """Return edgekit's directory on a device: the shell user's on Android, below the home directory
    elsewhere.

    Raises:
        DeviceLostError: It did not answer.
    """
    if transport.name == "adb":
        return ADB_ROOT
    home = transport.run_script('printf %s "$HOME"', timeout_s=15.0).stdout.strip()
    if not home.startswith("/"):
        raise DeviceError(f"using {transport.serial}: the login there has no home", hint="edgekit devices")
    return f"{home.rstrip('/')}/{HOME_ROOT}"


class DeviceStore:
    """edgekit's files on one device. Callers hold the device's lock.

    Args:
        transport: The device.
        root: Found out where None.
    """

    def __init__(self, transport: DeviceTransport, root: str | None = None) -> None:
        self.transport = transport
        self.root = root if root is not None else store_root(transport)

    def path(self, item: Item) -> str:
        """Absolute path of an item on the device."""
        return f"{self.root}/{item.path}"

    def inspect(self, items: Sequence[Item]) -> Inspection:
        """Compare `items` with the store; delete the files that an interrupted push left."""
        done = self.transport.run_script(
            _INSPECT, [self.root, *(item.path for item in items)], timeout_s=INSPECT_TIMEOUT_S
        )
        space, _, rest = done.stdout.partition(f"{_MARK}verified\n")
        verified_text, _, present_text = rest.partition(f"{_MARK}present\n")
        verified, there = _stat_lines(verified_text), _stat_lines(present_text)
        missing, doubtful = [], []
        for item in items:
            found = there.get(item.path)
            if found is None or found[0] != item.size_bytes:
                missing.append(item)
            elif verified.get(item.path) != found:
                doubtful.append(item)
        return Inspection(missing=tuple(missing), doubtful=tuple(doubtful), free_bytes=parse_df(space))

    def damaged(self, items: Sequence[Item]) -> list[Item]:
        """Return the items whose content differs on the device; record the others as verified."""
        if not items:
            return []
        total_bytes = sum(item.size_bytes for item in items)
        digests = self.transport.sha256(
            [self.path(item) for item in items], timeout_s=60.0 + total_bytes / 20_000_000
        )
        whole = [item for item in items if digests.get(self.path(item)) == item.sha256]
        self._record(whole)
        return [item for item in items if item not in whole]

    def send(
        self,
        items: Sequence[Item],
        *,
        free_bytes: int | None,
        unpacked_bytes: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Send items; each is checked over there before it has its name.

        Args:
            items: The items.
            free_bytes: Free space there; None where it is not known.
            unpacked_bytes: Size of the files that will be unpacked there from the items.
            progress: Called as bytes arrive.

        Raises:
            DeviceError: Not enough space, or refused.
            DeviceLostError: The link broke.
        """
        needed_bytes = sum(item.size_bytes for item in items)
        if free_bytes is not None and needed_bytes + unpacked_bytes + SPARE_BYTES > free_bytes:
            from edgekit.core.units import format_bytes

            unpacked = f" and take {format_bytes(unpacked_bytes)} more unpacked" if unpacked_bytes else ""
            raise DeviceError(
                f"pushing to {self.transport.serial}: {format_bytes(needed_bytes)} are to be sent{unpacked}, "
                f"{format_bytes(free_bytes)} are free at {self.root}, "
                f"of which {format_bytes(SPARE_BYTES)} stay so",
                hint=f"edgekit push --clean --device {self.transport.serial}, or free space there",
            )
        outgoing = [
            Outgoing(local=item.local, remote=self.path(item), sha256=item.sha256, mode=item.mode)
            for item in items
        ]
        self.transport.push_many(outgoing, progress=progress)
        self._record(items)

    def _record(self, items: Sequence[Item]) -> None:
        if not items:
            return
        paths = [item.path for item in items]
        done = self.transport.run_script(_RECORD, [self.root, *paths], timeout_s=INSPECT_TIMEOUT_S)
        if done.exit_code != 0:
            raise DeviceError(
                f"noting what was pushed to {self.transport.serial}: {done.stderr.strip()}",
                hint=f"edgekit push --clean --device {self.transport.serial}",
            )

    def clean(self) -> int:
        """Delete edgekit's files on the device and no others; return the bytes freed."""
        done = self.transport.run_script(_CLEAN, [self.root, *OWNED], timeout_s=60.0)
        if done.exit_code != 0:
            raise DeviceError(
                f"cleaning {self.root} on {self.transport.serial}: {done.stderr.strip()}",
                hint="remove it by hand",
            )
        said = done.stdout.strip()
        return int(said) * 1024 if said.isdecimal() else 0


def _stat_lines(text: str) -> dict[str, tuple[int, int]]:
    """`size changed path` lines; of several for one path the last counts."""
    lines = {}
    for line in text.splitlines():
        size, _, rest = line.partition(" ")
        changed, _, path = rest.partition(" ")
        if size.isdecimal() and changed.isdecimal() and path:
            lines[path] = (int(size), int(changed))
    return lines
