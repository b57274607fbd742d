"""Protection of a service from its clients: API keys, TLS, time limits, numbers of connections."""

from __future__ import annotations

import hmac
import ipaddress
import re
import resource
import ssl
from pathlib import Path

import msgspec

from edgekit._files import read_bytes
from edgekit.errors import InputError, OutputError

KEY_HINT = "openssl rand -hex 32 > FILE makes one"
# RFC 6750 allows less; a key that can be guessed is none.
KEY = re.compile(rb"[\x21-\x7e]{16,}")
# Descriptors that are not given to clients: pipes and memory of runners, libraries, the log.
KEPT_DESCRIPTORS = 128
# A connection costs about 50 KB of memory.
MOST_CONNECTIONS = 4096


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and secrets of a service.

    Attributes:
        keys: API keys, of which a client needs one; empty where none is needed.
        certificate: PEM file of the certificate chain; None without TLS.
        private_key: PEM file of the certificate's key.
        admin: True where clients may load and unload models.
        timeout_s: Time from the first byte of a request to the last byte of its answer, s.
        grace_s: Time from SIGTERM to the end of the service, s.
    """

    keys: tuple[bytes, ...] = ()
    certificate: Path | None = None
    private_key: Path | None = None
    admin: bool = False
    timeout_s: float = 60.0
    grace_s: float = 30.0

    def allows(self, authorization: bytes | None) -> bool:
        """Return whether the value of an `Authorization` header names a key, in constant time."""
        scheme, _, given = (authorization or b"").partition(b" ")
        matching = sum(hmac.compare_digest(given.strip(), key) for key in self.keys)
        return not self.keys or (scheme.lower() == b"bearer" and matching > 0)


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """Maximum numbers of open connections, by port."""

    rest: int
    grpc: int
    metrics: int


def read_keys(path: Path) -> tuple[bytes, ...]:
    """Read API keys, one a line.

    Raises:
        InputError: The file cannot be read, has no key, or has one that cannot be sent or is too short.
    """
    lines = [line.strip() for line in read_bytes(path, "the API keys", hint=KEY_HINT).splitlines()]
    for number, line in enumerate(lines, 1):
        if line and not KEY.fullmatch(line):
            raise InputError(
                f"reading the API keys {path}: line {number} is not a key of 16 or more printable ASCII "
                "characters without spaces",
                hint=KEY_HINT,
            )
    keys = tuple(line for line in lines if line)
    if not keys:
        raise InputError(f"reading the API keys {path}: no key in it", hint=KEY_HINT)
    return keys


def check_tls(certificate: Path, private_key: Path) -> None:
    """Check that a certificate and its key can be used; raises InputError."""
    for path in (certificate, private_key):
        read_bytes(path, "the PEM file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, private_key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise InputError(
            f"reading the certificate {certificate} with the key {private_key}: {error}",
            hint="give a PEM certificate chain and its key, not encrypted",
        ) from error


def connection_limits() -> Connections:
    """Divide the descriptors that this process may open among the ports.

    Raises:
        OutputError: The process may open too few descriptors.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = MOST_CONNECTIONS * 3 if soft == resource.RLIM_INFINITY else soft - KEPT_DESCRIPTORS
    if free < KEPT_DESCRIPTORS:
        raise OutputError(
            f"listening: this process may open {soft} files, the service needs {2 * KEPT_DESCRIPTORS}",
            hint="ulimit -n 1024",
        )
    share = min(free * 45 // 100, MOST_CONNECTIONS)
    return Connections(rest=share, grpc=share, metrics=min(free // 10, MOST_CONNECTIONS))


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
