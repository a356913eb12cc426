"""The check as a device: pairs with a host as any device does, tries each rule of a host, and goes.

It sends one kind of durable message, a task that hosts refuse, so that nothing is done there. What stays is the
device's own entry, which a person removes (`device_id` says which).
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from microclaw import __version__
from microclaw.authority_pem import pem_fingerprint, unproved_tls
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.link_check.both_ends import BOTH, SLOW, ended
from microclaw.link_check.peer import CONNECT_S, dial
from microclaw.link_check.report import RuleBroken
from microclaw.link_check.run import Findings
from microclaw.link_check.talk import Cursors, Talk
from microclaw.wire.link.messages import (
    AnyMessage,
    Hello,
    PairRequest,
    RunTask,
    Software,
    TaskStatus,
    Token,
    Welcome,
)
from microclaw.wire.link.values import Sender

Credential: TypeAlias = Literal["certificate", "token"]
DEFAULT_BOARD: Final = "virtual"
_MAX_CA_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class HostUnderCheck:
    """Where the host is, how to know it, and how it lets the check in.

    Without `secret` and `token`, `show_code` is called with the code that a person then types in at the host.
    """

    host: str
    port: int
    ca_sha256: str
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    credential: Credential = "certificate"
    board: str = DEFAULT_BOARD
    show_code: Callable[[str, int], None] | None = None
    keep_token: Callable[[str], None] | None = None


class DeviceBench:
    """The check's device: its key, credential and numbers. `folder` holds the key while the check runs."""

    ours = Sender.DEVICE
    answer: type[AnyMessage] = TaskStatus

    def __init__(self, target: HostUnderCheck, folder: Path) -> None:
        self.target = target
        self.cursors = Cursors()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.boot_id = secrets.token_bytes(16)
        self.authority_pem = b""
        self.certificate: x509.Certificate | None = None
        self.token = target.token
        self.device_id: str | None = None if target.token is None else device_of(target.token)
        self._folder = folder

    @property
    def is_paired(self) -> bool:
        return self.certificate is not None or self.token is not None

    def tls(self, *, with_certificate: bool = True) -> ssl.SSLContext:
        """Trusts the host's authority and nothing else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cadata=self.authority_pem.decode("ascii"))
        if with_certificate and self.certificate is not None:
            path = self._folder / "device.pem"
            key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            path.touch(mode=0o600)
            path.write_bytes(key + self.certificate.public_bytes(Encoding.PEM))
            context.load_cert_chain(path)
        return context

    def csr(self) -> bytes:
        return request_for(self.key)

    def durable(self) -> AnyMessage:
        """No host runs code for a stranger's board by default: the task is refused, durably and without harm."""
        return RunTask(f"link-check-{secrets.token_hex(4)}", "sandbox", "", 1)

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[Talk]:
        """A connection without a credential."""
        target = self.target
        peer = await dial(target.host, target.port, self.tls(with_certificate=False))
        async with ended(Talk(peer, Cursors(), self.ours)) as talk:
            yield talk

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Talk]:
        """A connection with the credential, before the greeting."""
        target = self.target
        peer = await dial(target.host, target.port, self.tls(), token=self.token)
        async with ended(Talk(peer, self.cursors, self.ours)) as talk:
            yield talk

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[Talk]:
        async with self.connected() as talk:
            await self.greet(talk)
            try:
                yield talk
                await talk.bye()
            finally:
                self._keep_token(talk)

    async def greet(self, talk: Talk, *, rx_seq: int | None = None) -> Welcome:
        """`hello` and the host's `welcome`; both ends' numbers go on from it."""
        cursors = self.cursors
        hello = Hello(
            boot_id=self.boot_id,
            firmware=Software("microclaw-link-check", __version__),
            board=self.target.board,
            capabilities=("device.info",),
            tx_epoch=cursors.tx_epoch,
            rx_epoch=cursors.rx_epoch,
            rx_seq=cursors.rx_seq if rx_seq is None else rx_seq,
            reset_reason="power_on",
        )
        await talk.say(hello)
        _, welcome = await talk.expect(Welcome)
        if welcome.tx_epoch != cursors.rx_epoch:
            cursors.rx_epoch, cursors.rx_seq = welcome.tx_epoch, 0
        cursors.tx_last = welcome.rx_seq if welcome.rx_epoch == cursors.tx_epoch else 0
        return welcome

    def pair_request(self, wanted: Credential, secret: str | None) -> PairRequest:
        if wanted == "token":
            return PairRequest(self.target.board, token_wanted=True, secret=secret)
        return PairRequest(self.target.board, csr=self.csr(), secret=secret)

    def _keep_token(self, talk: Talk) -> None:
        for envelope in talk.got:
            if isinstance(envelope.body, Token):
                self.token = envelope.body.token
                if self.target.keep_token is not None:
                    self.target.keep_token(self.token)


async def check_host(target: HostUnderCheck, findings: Findings) -> str | None:
    """Try every rule of a host; the id that the host has for the check's device, None if it was not let in.

    Raises DeviceUnreachable when nobody is there, ConfigError when the host has another fingerprint.
    """
    from microclaw.link_check import host_rules

    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="microclaw-link-check-")
    with folder as name:
        bench = DeviceBench(target, Path(name))
        try:
            bench.authority_pem = await fetch_authority(target)
        except RuleBroken as exc:
            text = f"{target.host}:{target.port} has no /ca.pem: {exc.came}"
            raise DeviceUnreachable(text, next_step="is it the link's port? microclaw status") from exc
        await findings.run_all({rule_id: partial(check, bench) for rule_id, check in host_rules.STRANGER.items()})
        if bench.token is None:
            await host_rules.pair(bench, findings)
        if bench.is_paired:
            checks = {**BOTH, **host_rules.READY}
            slow = SLOW | host_rules.SLOW
            await findings.run_all({rule_id: partial(check, bench) for rule_id, check in checks.items()}, slow=slow)
        findings.finish("the host gave no credential" if not bench.is_paired else "not with this credential")
        return bench.device_id


async def fetch_authority(target: HostUnderCheck) -> bytes:
    """`/ca.pem` over a connection that proves nothing; only the fingerprint does."""
    body = await _get(target, unproved_tls())
    found = pem_fingerprint(body)
    if found != target.ca_sha256.lower():
        raise ConfigError(
            f"the authority of {target.host}:{target.port} has the fingerprint {found or 'of no certificate'}, "
            f"expected {target.ca_sha256}",
            next_step="copy the fingerprint again: microclaw device provision NAME prints it",
        )
    return body


def device_of(token: str) -> str | None:
    """The device's id in a token."""
    return token.removeprefix("mc1_").rpartition("_")[0][:-1] or None if token.startswith("mc1_") else None


def request_for(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #10 in DER form; the name in it is not looked at."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "microclaw link check")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.DER)


async def _get(target: HostUnderCheck, tls: ssl.SSLContext) -> bytes:
    request = f"GET /ca.pem HTTP/1.1\r\nHost: {target.host}:{target.port}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(target.host, target.port, ssl=tls)
            try:
                writer.write(request.encode())
                answer = await _all_of(reader)
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as exc:
        raise DeviceUnreachable(
            f"no host answers at {target.host}:{target.port}: {exc or 'no answer'}",
            next_step="is it started, and is it the link's port? microclaw status",
        ) from exc
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"] or len(body) > _MAX_CA_BYTES:
        raise RuleBroken("GET /ca.pem", f"status {b''.join(status).decode(errors='replace')}, {len(body)} bytes")
    return body


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    found = b""
    while (data := await reader.read(4096)) and len(found) <= _MAX_CA_BYTES + 2048:
        found += data
    return found
