"""The app on a device: whether it can run there, installed, removed.

The answers of `pm` and `am` are those that AOSP's PackageManagerShellCommand and
ActivityManagerShellCommand print (Android 7 to 15).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection
from pathlib import Path

import msgspec

from edgekit._files import sha256_file
from edgekit.android.project import ABIS, PACKAGE
from edgekit.android.signing import MIN_SDK
from edgekit.core.units import format_bytes
from edgekit.errors import DeviceError, InputError
from edgekit.transports.interface import CommandResult, DeviceTransport

STAGING = "/data/local/tmp"
ANSWER_TIMEOUT_S = 20.0
INSTALL_TIMEOUT_S = 300.0
# The package manager unpacks nothing of ours (libraries stay in the APK), but keeps a copy and optimises.
SPACE_FACTOR = 2.5

# Failure codes of android.content.pm.PackageManager that a user can do something about.
_FAILURES = {
    "INSTALL_FAILED_UPDATE_INCOMPATIBLE": (
        "an app of this name with another signature is there",
        f"adb -s {{serial}} uninstall {PACKAGE}, then install again; or sign with the same key (--keystore)",
    ),
    "INSTALL_FAILED_VERSION_DOWNGRADE": (
        "a newer version of the app is there",
        f"adb -s {{serial}} uninstall {PACKAGE}, then install again",
    ),
    "INSTALL_FAILED_INSUFFICIENT_STORAGE": ("its storage is full", "free space on the device"),
    "INSTALL_FAILED_NO_MATCHING_ABIS": (
        "it runs none of the app's ABIs",
        "edgekit apk build --abi arm64-v8a,x86_64, then install again",
    ),
    "INSTALL_FAILED_OLDER_SDK": ("its Android is too old", "choose a device with Android 7 or later"),
    "INSTALL_FAILED_USER_RESTRICTED": (
        "the device's user or its settings refuse it",
        "allow installation over USB in the developer options, and confirm it on the device's screen",
    ),
    "INSTALL_FAILED_VERIFICATION_FAILURE": (
        "the device's verifier refuses it",
        "switch off the verification of apps over USB in the developer options",
    ),
}
_FAILURE = re.compile(r"Failure \[(\w+)(?::\s*(.*?))?\]")


class InstalledApp(msgspec.Struct, frozen=True, kw_only=True):
    """The app as the package manager has it."""

    serial: str
    package: str
    path: str
    apk_sha256: str


def require_app_runtime(transport: DeviceTransport, apk_abis: Collection[str] = tuple(ABIS)) -> None:
    """Refuse a device on which no Android app can run, or not this one.

    Args:
        transport: The device.
        apk_abis: ABIs of the app; by default all that it can be built for.

    Raises:
        DeviceError: It has no package manager (a virtual device, a Linux board), another ABI, or an old
            Android.
        DeviceLostError: It went away.
    """
    # Every Android has this package; a stand-in for `pm` or none at all has not.
    found = transport.run(["pm", "path", "android"], timeout_s=ANSWER_TIMEOUT_S)
    if found.exit_code != 0 or "package:" not in found.stdout:
        raise DeviceError(
            f"using the app on {transport.serial}: it has no Android app runtime; virtual devices and Linux "
            "boards run the shell runner only",
            hint=f"edgekit bench --device {transport.serial}",
        )
    abis = _property(transport, "ro.product.cpu.abilist")
    if not set(apk_abis) & set(abis.split(",")):
        possible = set(ABIS) & set(abis.split(","))
        raise DeviceError(
            f"using the app on {transport.serial}: it runs {abis or 'an unknown ABI'}, the app is "
            f"{', '.join(apk_abis)}",
            hint=f"edgekit apk build --abi {','.join(sorted(possible))}, then install again"
            if possible
            else "choose a 64-bit device: edgekit devices",
        )
    sdk = _property(transport, "ro.build.version.sdk")
    if not sdk.isdigit() or int(sdk) < MIN_SDK:
        raise DeviceError(
            f"using the app on {transport.serial}: its Android is SDK {sdk or 'unknown'}, the app "
            f"needs {MIN_SDK}",
            hint="choose a device with Android 7 or later: edgekit devices",
        )


def _abis(apk: Path) -> list[str]:
    """Return the ABIs whose native libraries an APK holds."""
    try:
        with zipfile.ZipFile(apk) as archive:
            found = {name.split("/")[1] for name in archive.namelist() if name.startswith("lib/")}
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"installing {apk}: it is no APK: {error}", hint=f"edgekit apk build -o {apk}"
        ) from error
    return sorted(found)


def install(transport: DeviceTransport, apk: Path) -> InstalledApp:
    """Put the app onto a device in place of an earlier version; the app asks for no permission to grant.

    Raises:
        InputError: There is no such file.
        DeviceError: It cannot run there, the storage is full, or the package manager refuses.
        DeviceLostError: The device went away.
    """
    if not apk.is_file():
        raise InputError(f"installing {apk}: there is no such file", hint=f"edgekit apk build -o {apk}")
    require_app_runtime(transport, _abis(apk))
    digest = sha256_file(apk)
    size = apk.stat().st_size
    free = transport.free_bytes(STAGING)
    if free is not None and free < size * SPACE_FACTOR:
        raise DeviceError(
            f"installing {apk} on {transport.serial}: {format_bytes(free)} are free, "
            f"{format_bytes(int(size * SPACE_FACTOR))} are needed",
            hint="free space on the device",
        )
    staged = f"{STAGING}/{PACKAGE}-{digest[:12]}.apk"
    transport.push(apk, staged)
    try:
        done = transport.run(["pm", "install", "-r", staged], timeout_s=INSTALL_TIMEOUT_S)
    finally:
        transport.remove([staged])
    if not re.search(r"^Success\b", done.stdout, re.MULTILINE):
        raise _refusal(transport.serial, apk, done)
    return InstalledApp(
        serial=transport.serial, package=PACKAGE, path=require_installed(transport), apk_sha256=digest
    )


def require_installed(transport: DeviceTransport) -> str:
    """Return the path of the installed app's APK on the device.

    Raises:
        DeviceError: The app is not installed.
    """
    done = transport.run(["pm", "path", PACKAGE], timeout_s=ANSWER_TIMEOUT_S)
    match = re.search(r"^package:(\S+)", done.stdout, re.MULTILINE)
    if match is None:
        raise DeviceError(
            f"looking for the app on {transport.serial}: it is not installed",
            hint=f"edgekit apk install --device {transport.serial}",
        )
    return match[1]


def _refusal(serial: str, apk: Path, done: CommandResult) -> DeviceError:
    said = (done.stdout + done.stderr).strip()
    match = _FAILURE.search(said)
    if match is not None and match[1] in _FAILURES:
        why, hint = _FAILURES[match[1]]
        return DeviceError(
            f"installing {apk} on {serial}: {why} ({match[1]})", hint=hint.format(serial=serial)
        )
    last = said.splitlines()[-1] if said else f"no answer, exit code {done.exit_code}"
    return DeviceError(
        f"installing {apk} on {serial}: the package manager says: {last}",
        hint="read the device's screen, try again",
    )


def _property(transport: DeviceTransport, name: str) -> str:
    return transport.run(["getprop", name], timeout_s=ANSWER_TIMEOUT_S).stdout.strip()
