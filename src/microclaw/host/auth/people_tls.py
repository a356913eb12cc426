"""TLS of the address that people and programs call, with a certificate of another authority. It does not listen."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509

from microclaw.durable import mode_step, read_given
from microclaw.errors import ConfigError
from microclaw.host.auth.authority import bare_server_context
from microclaw.host.auth.certificates import HostNames, from_ms

MAX_PEM_BYTES: Final = 256 << 10
WARN_DAYS: Final = 14
_log = logging.getLogger(__name__)


class ReloadedCertificate:
    """Two PEM files of another authority, read again when they change.

    Raises ConfigError if they cannot be used at the start; later the previous certificate stays, and the log says why.
    """

    def __init__(self, certificate: Path, key: Path, now_ms: Callable[[], int]) -> None:
        self._files = certificate.expanduser(), key.expanduser()
        self._now_ms = now_ms
        self._seen = self._stamp()
        self.context = people_context()
        self.names = self._load()

    async def refresh(self) -> None:
        """Read the files again if they have changed."""
        stamp = self._stamp()
        if stamp in (None, self._seen):
            return
        self._seen = stamp
        try:
            self.names = self._load()
        except ConfigError as exc:
            _log.warning("the new certificate is not used: %s (next: %s)", exc.message, exc.next_step)
        else:
            _log.info("the certificate of %s is served again", self._files[0])

    def _load(self) -> HostNames:
        """Serve the pair from now on, and return its names. Everything is checked before the live context gets it."""
        certificate, key = self._files
        pem = read_given(certificate, MAX_PEM_BYTES)
        now = from_ms(self._now_ms())
        read_given(key, MAX_PEM_BYTES)
        if key.stat().st_mode & 0o007:
            step = mode_step("", "o-rwx", key) or "its owner closes it to other users, or name another key"
            raise ConfigError(f"all users may read or change the key {key}", next_step=step)
        try:
            leaf = x509.load_pem_x509_certificates(pem)[0]
            names = HostNames.of(leaf)
            begin = leaf.not_valid_before_utc
            end = leaf.not_valid_after_utc
            people_context().load_cert_chain(certificate, key, password="")
            if not begin <= now < end:
                text = f"{certificate} is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, and today is {now:%Y-%m-%d}"
                raise ConfigError(text, next_step="renew it")
            self.context.load_cert_chain(certificate, key, password="")
        except (ValueError, OSError, x509.ExtensionNotFound) as exc:
            # OSError includes ssl.SSLError.
            text = f"{certificate} and {key} cannot be read as a certificate with its key: {exc}"
            step = "PEM, P-256 or RSA of 2048 bits, the key without a password, names as subjectAltName"
            raise ConfigError(text, next_step=step) from exc
        if (end - now).days < WARN_DAYS:
            _log.warning("%s ends on %s: renew it", certificate, f"{end:%Y-%m-%d}")
        return names

    def _stamp(self) -> tuple[tuple[int, int, int], ...] | None:
        try:
            stats = [path.stat() for path in self._files]
        except OSError:
            # A file is just being replaced: the next call finds it.
            return None
        return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)


def people_context() -> ssl.SSLContext:
    """Return a context that never asks a browser for a certificate, unlike the devices'. It has no certificate yet."""
    context = bare_server_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
