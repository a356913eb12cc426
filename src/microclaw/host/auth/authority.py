"""The host's own certificate authority: made once, never replaced without a person's consent. Serves nothing.

Every device trusts this one certificate and nothing else, so losing it orphans them all. The store remembers its
fingerprint: an authority file that is missing, damaged or a different one is an error, not a reason to make a new one.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from microclaw.durable import make_private_folder, read_limited, read_private, sync_folder, write_private
from microclaw.errors import StoreError
from microclaw.findings import Finding, problem
from microclaw.host.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.host.auth.certificates import (
    RELEASED,
    HostNames,
    KeyPair,
    device_certificate,
    from_ms,
    new_authority,
    server_certificate,
    since_release,
)
from microclaw.host.store.identity import IdentityTable

# It is short because the clock may be set, the machine's addresses change, and files are replaced.
RENEWAL_CHECK_S: Final = 30.0
AUTHORITY_FILE: Final = "authority.pem"
SERVER_FILE: Final = "server.pem"
BEGIN_ANEW_FILE: Final = "begin-anew"
# The words that a person must write into BEGIN_ANEW_FILE.
CONSENT: Final = "end the fleet"
MAX_CONSENT_BYTES: Final = 256
# Forward secret, authenticated, and what mbedTLS and MicroPython builds have. TLS 1.3 brings its own list.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Authority:
    """The authority that signs devices' keys and keeps the server's certificate fresh. Made by `Authority.open`."""

    def __init__(
        self,
        folder: Path,
        pair: KeyPair,
        look: Callable[[], HostNames],
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._server_path = folder / SERVER_FILE
        self.pair = pair
        self._look = look
        self._now_ms = now_ms
        self._server: x509.Certificate | None = None
        self._contexts: list[ssl.SSLContext] = []

    @classmethod
    async def open(
        cls,
        folder: Path,
        pin: IdentityTable,
        look: Callable[[], HostNames],
        *,
        now_ms: Callable[[], int],
        record: Record = no_record,
    ) -> Authority:
        """Read the authority in `folder`, or make it if no device ever trusted one.

        `look` returns the names that the server's certificate must have; it may block. Raises StoreError if the file is
        missing, damaged, or not the authority that the store's devices trust.
        """
        await asyncio.to_thread(make_private_folder, folder)
        if await asyncio.to_thread(_is_given_up, folder):
            ended_count = await pin.reset_authority(now_ms())
            text = f"{ended_count} were still good, of all devices: a new authority was wanted ({BEGIN_ANEW_FILE})"
            record(AuditEvent(AuditKind.CREDENTIAL_REVOKED, text))
            await asyncio.to_thread(_put_away, folder, now_ms())
        fingerprint = await pin.authority()
        remedy = _remedy(folder, shared=pin.is_shared)
        pair = await asyncio.to_thread(_read_or_make, folder, fingerprint, remedy)
        await pin.pin_authority(fingerprint_of(pair.certificate), now_ms())
        authority = cls(folder, pair, look, now_ms=now_ms)
        await authority.renew_if_due()
        return authority

    @property
    def ca_pem(self) -> bytes:
        """The public answer of `/ca.pem`."""
        return self.pair.certificate.public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate (of its DER form), 64 lower-case hexadecimal digits."""
        return fingerprint_of(self.pair.certificate)

    @property
    def server(self) -> x509.Certificate:
        """The current certificate of the server."""
        # `open` has set it before any caller gets this object.
        assert self._server is not None
        return self._server

    @property
    def problem(self) -> str | None:
        """The reason why devices cannot trust this host now, with the next step; None if they can."""
        finding = certificate_problem(self.pair.certificate, self._now_ms())
        if finding is None:
            return None
        return f"{finding.text} (next: {finding.next_step})"

    @property
    def names(self) -> HostNames:
        """The names and addresses of the server's current certificate."""
        return HostNames.of(self.server)

    def sign(self, public_key: ec.EllipticCurvePublicKey, device_id: str) -> x509.Certificate:
        """Sign a client certificate for a key whose holder proved to have it (`certificates.read_csr`)."""
        return device_certificate(self.pair, public_key, device_id, since_release(from_ms(self._now_ms())))

    async def renew_if_due(self) -> None:
        """Make a new server certificate at the start, after 2/3 of its life, or if a name or address is missing.

        Call it every RENEWAL_CHECK_S. Open connections stay; new ones get the new certificate. Raises StoreError if it
        cannot be written; the next call tries again.
        """
        names = await asyncio.to_thread(self._look)
        now = from_ms(self._now_ms())
        if self._server is not None and HostNames.of(self._server).covers(names):
            begin = self._server.not_valid_before_utc
            end = self._server.not_valid_after_utc
            renewal = begin + (end - begin) * 2 / 3
            if begin <= now < renewal:
                return
        server = server_certificate(self.pair, names.names, names.addresses, now)
        await asyncio.to_thread(write_private, self._server_path, server.to_pem())
        for context in self._contexts:
            context.load_cert_chain(self._server_path)
        self._server = server.certificate

    def server_context(self) -> ssl.SSLContext:
        """Return a TLS context for devices, which need no client certificate.

        It takes TLS 1.2 or newer, and a client certificate must be of this authority. A resumed session brings the
        certificate of its first handshake, so `DeviceCredentials` checks the device at every connection.
        """
        context = bare_server_context()
        context.load_verify_locations(cadata=self.ca_pem.decode("ascii"))
        context.verify_mode = ssl.CERT_OPTIONAL
        self.serve(context)
        return context

    def serve(self, context: ssl.SSLContext) -> None:
        """Give a context the server's certificate, now and whenever it is renewed."""
        context.load_cert_chain(self._server_path)
        self._contexts.append(context)


def bare_server_context() -> ssl.SSLContext:
    """Return a context of TLS 1.2 or newer with good ciphers, without a certificate: for devices and for people."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def read_authority(folder: Path, remedy: str) -> KeyPair | None:
    """Return the authority in the folder, None if there is none; StoreError for a damaged one."""
    path = folder / AUTHORITY_FILE
    content = read_private(path)
    if content is None:
        return None
    try:
        return KeyPair.from_pem(content)
    except ValueError as exc:
        raise StoreError(f"{path} is damaged: {exc}", next_step=remedy) from exc


def certificate_problem(authority: x509.Certificate, now_ms: int) -> Finding | None:
    """Return what keeps devices from trusting the authority by this clock, or None."""
    now = from_ms(now_ms)
    begin = authority.not_valid_before_utc
    end = authority.not_valid_after_utc
    if now < RELEASED:
        text = f"this machine's clock says {now:%Y-%m-%d}, and this release is of {RELEASED:%Y-%m-%d}"
        return problem("clock", text, "set the clock: timedatectl set-ntp true")
    if begin <= now < end:
        return None
    text = f"the authority is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, and today is {now:%Y-%m-%d}"
    step = f"set the clock; if it is right: echo {CONSENT} > identity/{BEGIN_ANEW_FILE}, start, pair all boards again"
    return problem("certificate", text, step)


def fingerprint_of(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _remedy(folder: Path, *, shared: bool) -> str:
    """Return the next step if the store's devices do not trust the authority in `folder`."""
    path = folder / AUTHORITY_FILE
    restored = "microclaw backup restore FILE --replace"
    if shared:
        return f"copy another host's identity/authority.pem to {path} (mode 600), or: {restored}; docs/cluster.md"
    again = f"echo {CONSENT} > {folder / BEGIN_ANEW_FILE}, and start the host"
    return f"{restored}; or, to give up every paired device and pair them all again: {again}"


def _is_given_up(folder: Path) -> bool:
    """Return True if a person wrote that every device must be paired again.

    Raises StoreError if the file has other words.
    """
    path = folder / BEGIN_ANEW_FILE
    try:
        words = read_limited(path, MAX_CONSENT_BYTES) or b""
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}", next_step="check its owner and mode") from exc
    if words.strip() != CONSENT.encode():
        step = f"remove it, or write the words {CONSENT} into it; docs/cluster.md: a new authority"
        raise StoreError(f"{path} ends every device's credentials, but lacks the words for it", next_step=step)
    return True


def _read_or_make(folder: Path, fingerprint: str | None, remedy: str) -> KeyPair:
    """Read the authority, or make it if the store knows no `fingerprint`; StoreError if both differ."""
    path = folder / AUTHORITY_FILE
    pair = read_authority(folder, remedy)
    if pair is None:
        if fingerprint is not None:
            raise StoreError(f"{path} is missing, and devices trust the authority in it", next_step=remedy)
        pair = new_authority(RELEASED)
        write_private(path, pair.to_pem())
        return pair
    if fingerprint not in (None, fingerprint_of(pair.certificate)):
        raise StoreError(f"{path} is not the authority that this host's devices trust", next_step=remedy)
    return pair


def _put_away(folder: Path, now_ms: int) -> None:
    """Keep the given-up authority under another name; the order of the steps makes a crash between them harmless."""
    path = folder / AUTHORITY_FILE
    if path.exists():
        path.rename(folder / f"{AUTHORITY_FILE}.given-up-{now_ms}")
    (folder / BEGIN_ANEW_FILE).unlink()
    sync_folder(folder)
