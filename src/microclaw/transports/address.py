"""Addresses as people type them (host:port, [ipv6]:port), their locks, and how a stream is closed. Looks up no name."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from microclaw.addresses import bracketed
from microclaw.errors import ConfigError, DeviceUnreachable

_HOST_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class HostPort:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


def parse_host_port(text: str, default_port: int | None = None) -> HostPort:
    """HOST:PORT, or HOST alone where there is a default; ConfigError says what the form is."""
    match = _HOST_PORT.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else default_port
    if match is None or port is None or not 0 < port <= 65535:
        example = f"192.168.1.20:{default_port or 8080}"
        raise ConfigError(f"{text!r} is not HOST:PORT", next_step=f"write it like {example}")
    return HostPort(match["v6"] or match["host"], port)


_POLL_S = 0.02
_CLOSE_S = 1.0


class AddressLock:
    """Advisory and per user; the kernel lets go when the process ends, however it ends."""

    def __init__(self, folder: Path, address: str) -> None:
        self._address = address
        self._path = folder / f"{hashlib.sha256(address.encode()).hexdigest()[:24]}.lock"
        self._fd: int | None = None

    @property
    def path(self) -> Path:
        return self._path

    async def acquire(self, timeout_s: float) -> None:
        """Wait for the address to be free; DeviceUnreachable when another process keeps it longer."""
        if self._fd is not None:
            return
        fd = self._open()
        try:
            deadline = asyncio.get_running_loop().time() + timeout_s
            while not _try_lock(fd):
                if asyncio.get_running_loop().time() >= deadline:
                    raise DeviceUnreachable(
                        f"another microclaw process is talking to {self._address}",
                        next_step="wait for it, or use the running host: microclaw status",
                    )
                await asyncio.sleep(_POLL_S)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise ConfigError(
                f"cannot make the lock file {self._path}: {exc.strerror}",
                next_step="set MICROCLAW_CACHE to a folder you may write to",
            ) from exc


async def close_stream(writer: asyncio.StreamWriter) -> None:
    """Close a connection; abort it when the other end takes longer than a second."""
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
