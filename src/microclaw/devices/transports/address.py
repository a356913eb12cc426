"""Addresses as people type them (host:port, [ipv6]:port), their locks, and closing a stream. Resolves no name."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import ipaddress
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from microclaw.addresses import bracketed
from microclaw.errors import ConfigError, DeviceUnreachable

_SHOWN_CHARS: Final = 80
_NUMBERS: Final = re.compile(r"[0-9.]+|0[xX][0-9A-Fa-f]+")
_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_THIS_NETWORK: Final = ipaddress.ip_network("0.0.0.0/8")  # RFC 791, RFC 6890
_HOST_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


class HostPort(Struct, frozen=True):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


def parse_host_port(text: str, default_port: int | None = None) -> HostPort:
    """Parse HOST:PORT, or only HOST if there is a default port.

    Raises ConfigError for another form, and for an address that no board can have.
    """
    step = f"write it like 192.168.1.20:{default_port or 8080}"
    match = _HOST_PORT.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else default_port
    if match is None or port is None:
        raise ConfigError(f"{text[:_SHOWN_CHARS]!r} is not HOST:PORT", next_step=step)
    if not 0 < port <= 65535:
        raise ConfigError(f"{text[:_SHOWN_CHARS]!r} is not HOST:PORT: a port is 1 to 65535", next_step=step)
    host: str = match["v6"] or match["host"]
    fault = _find_fault(host, is_v6=match["v6"] is not None)
    if fault:
        raise ConfigError(f"no board can be at {host[:_SHOWN_CHARS]!r}: {fault}", next_step=step)
    return HostPort(host, port)


def _find_fault(host: str, *, is_v6: bool) -> str | None:
    """Return the reason why nothing can listen at this host, or None. Resolves no name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return _find_name_fault(host, is_v6=is_v6)
    is_unused = address.version == 4 and (address.is_reserved or address in _THIS_NETWORK)
    if is_unused or address.is_multicast or address.is_unspecified:
        return "no machine has it"
    return None


def _find_name_fault(host: str, *, is_v6: bool) -> str | None:
    if is_v6 or _NUMBERS.fullmatch(host):
        return "it is not an IP address"
    # RFC 1123, 2.1 has no "_", but names that people choose at home have it.
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return "it is not a host name"
    return None


_POLL_S = 0.02
_CLOSE_S = 1.0


class AddressLock:
    """An advisory lock of an address, per user. The kernel releases it when the process ends, also after a crash."""

    def __init__(self, folder: Path, address: str) -> None:
        self._address = address
        self.path = folder / f"{hashlib.sha256(address.encode()).hexdigest()[:24]}.lock"
        self._fd: int | None = None

    async def acquire(self, timeout_s: float) -> None:
        """Wait until the address is free. Raises DeviceUnreachable if another process keeps it longer."""
        if self._fd is not None:
            return
        fd = self._open()
        try:
            await self._lock(fd, timeout_s)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    async def _lock(self, fd: int, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if loop.time() >= deadline:
                text = f"another microclaw process is talking to {self._address}"
                raise DeviceUnreachable(text, next_step="wait for it, or use the running host: microclaw status")
            await asyncio.sleep(_POLL_S)

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            text = f"cannot make the lock file {self.path}: {exc.strerror}"
            raise ConfigError(text, next_step="set MICROCLAW_CACHE to a folder you may write to") from exc


async def close_stream(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and abort it if the other end takes longer than a second."""
    try:
        writer.close()
        async with asyncio.timeout(_CLOSE_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
