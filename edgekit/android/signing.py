"""Keys that sign the APK: the user's own, or a debug key that is made once for this user."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit._files import locked
from edgekit.android.jdk import find_tool
from edgekit.android.tools import BuildTools
from edgekit.errors import InputError, ToolError
from edgekit.toolchain.cache import cache_directory

PASSWORD_VARIABLE = "EDGEKIT_KEYSTORE_PASSWORD"  # noqa: S105 - a variable's name
KEY_PASSWORD_VARIABLE = "EDGEKIT_KEY_PASSWORD"  # noqa: S105
# Android's own convention for debug keys: name, password and alias are no secret.
DEBUG_PASSWORD = "android"  # noqa: S105
DEBUG_ALIAS = "androiddebugkey"
DEBUG_NAME = "CN=Android Debug,O=Android,C=US"
VALID_DAYS = 10_000
MIN_SDK = 24
TIMEOUT_S = 120.0
SIGNER = "com.android.apksigner.ApkSignerTool"


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key in a key store; the passwords reach the signer by its environment, never by its arguments."""

    keystore: Path
    alias: str | None
    password: str
    key_password: str

    @property
    def is_debug(self) -> bool:
        return self.keystore == debug_keystore()


def debug_keystore() -> Path:
    """Path of this user's debug key."""
    return cache_directory("android") / "debug.keystore"


def user_key(keystore: Path, alias: str | None) -> SigningKey:
    """The user's own key, its passwords from the environment.

    Raises:
        InputError: There is no such file, or no password is set.
    """
    if not keystore.is_file():
        raise InputError(
            f"signing with {keystore}: there is no such file", hint="keytool -genkeypair makes one"
        )
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        raise InputError(
            f"signing with {keystore}: no password is set",
            hint=f"export {PASSWORD_VARIABLE}=… (and {KEY_PASSWORD_VARIABLE}, where the key has its own)",
        )
    return SigningKey(
        keystore=keystore,
        alias=alias,
        password=password,
        key_password=os.environ.get(KEY_PASSWORD_VARIABLE, password),
    )


def debug_key() -> SigningKey:
    """This user's debug key, made where there is none: RSA, whose signatures repeat to the byte.

    Raises:
        ToolError: There is no keytool, or it fails.
    """
    path = debug_keystore()
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock"), "the debug key"):
        if not path.is_file():
            _make_debug_key(path)
    return SigningKey(keystore=path, alias=DEBUG_ALIAS, password=DEBUG_PASSWORD, key_password=DEBUG_PASSWORD)


def _make_debug_key(path: Path) -> None:
    keytool = find_tool("keytool", "making a debug key")
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    done = _process.run(
        [
            keytool, "-genkeypair", "-keystore", part, "-storetype", "PKCS12", "-storepass", DEBUG_PASSWORD,
            "-alias", DEBUG_ALIAS, "-keyalg", "RSA", "-keysize", "2048", "-sigalg", "SHA256withRSA",
            "-validity", str(VALID_DAYS), "-dname", DEBUG_NAME,
        ],
        timeout_s=TIMEOUT_S,
    )  # fmt: skip
    if not done.ok:
        raise ToolError(f"making a debug key: keytool failed: {done.tail(2)}", hint="edgekit doctor")
    part.rename(path)


def sign(tools: BuildTools, unsigned: Path, signed: Path, key: SigningKey) -> None:
    """Sign an APK by the schemes 2 and 3, which every Android from 7 on checks.

    Raises:
        ToolError: The signer refuses, e.g. the password or the alias is wrong.
    """
    alias = ["--ks-key-alias", key.alias] if key.alias else []
    tools.run_java(
        tools.apksigner,
        SIGNER,
        [
            "sign", "--ks", key.keystore, *alias, "--ks-pass", f"env:{PASSWORD_VARIABLE}",
            "--key-pass", f"env:{KEY_PASSWORD_VARIABLE}", "--min-sdk-version", str(MIN_SDK),
            "--v1-signing-enabled", "false", "--v2-signing-enabled", "true", "--v3-signing-enabled", "true",
            "--v4-signing-enabled", "false", "--out", signed, unsigned,
        ],
        f"signing the app with {key.keystore}",
        env={PASSWORD_VARIABLE: key.password, KEY_PASSWORD_VARIABLE: key.key_password},
    )  # fmt: skip


def verify_signature(tools: BuildTools, apk: Path) -> str:
    """Check an APK's signature for the oldest Android that it claims; the signer's SHA-256.

    Raises:
        ToolError: The signature does not hold.
    """
    said = tools.run_java(
        tools.apksigner,
        SIGNER,
        ["verify", "--min-sdk-version", str(MIN_SDK), "--print-certs", apk],
        f"checking the signature of {apk}",
    )
    for line in said.splitlines():
        name, _, value = line.rpartition(": ")
        if name.endswith("certificate SHA-256 digest"):
            return value.strip()
    raise ToolError(f"checking the signature of {apk}: the verifier names no certificate: {said.strip()}")
