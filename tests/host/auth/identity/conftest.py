"""A host's identity in a folder of its own, with a clock that tests turn."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.host.auth.conftest import Clock

from microclaw.errors import UnknownName
from microclaw.host.auth.authority import Authority
from microclaw.host.auth.certificates import host_names
from microclaw.host.auth.credentials import CredentialRefusal, Identity, IssuedCredential, Reason
from microclaw.host.auth.pairing import HostIdentity, PairingRequest, PendingPairing
from microclaw.host.store.database import Database
from microclaw.host.store.identity import IdentityTable

NAMES = host_names("lab.example", ("192.0.2.7",))


class Devices:
    """Stands for the registry: ids by number, names unique."""

    def __init__(self) -> None:
        self.names: dict[str, str | None] = {}

    async def __call__(self, board: str, *, name: str | None, device_id: str | None, is_new: bool = False) -> str:
        if device_id in self.names:
            return device_id
        if device_id is not None and not is_new:
            raise UnknownName(f"no device {device_id}")
        if name is not None and name in self.names.values():
            raise UnknownName(f"the name {name} is taken")
        minted = device_id or self.mint_id()
        self.names[minted] = name
        await self.entered()
        return minted

    def mint_id(self) -> str:
        return f"d-{len(self.names) + 1}"

    async def entered(self) -> None:
        """The device is on the disk; a test may cut off what follows."""


class Host:
    """A host's identity as it really is, with what a test turns and looks at."""

    def __init__(self, folder: Path, clock: Clock, identity: HostIdentity, devices: Devices) -> None:
        self.folder = folder
        self.clock = clock
        self.devices = devices
        self.table = identity.table
        self.authority = identity.authority
        self.credentials = identity.credentials
        self.identity = identity

    async def comes_with(self, token: str) -> Identity | CredentialRefusal:
        return await self.credentials.authenticate(None, f"Bearer {token}")

    async def let_in(self, token: str) -> Identity:
        identity = await self.comes_with(token)
        assert isinstance(identity, Identity), identity
        return identity

    async def rotated(self, token: str) -> str:
        """The token that follows after a day."""
        self.clock.forward(days=1)
        issued = await self.credentials.rotate(await self.let_in(token))
        assert issued is not None
        self.clock.forward(s=1)
        return issued.token

    async def pair_token(self, device_id: str | None = None) -> tuple[str, str]:
        """A device paired by code: its id and token."""
        paired = await self._pair(None, device_id)
        return paired.device_id, paired.token

    async def pair_certificate(self, device_id: str | None = None) -> tuple[str, bytes, ec.EllipticCurvePrivateKey]:
        """A device paired by code: its id, certificate (DER) and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        paired = await self._pair(make_csr(key), device_id)
        assert paired.certificate is not None
        return paired.device_id, paired.certificate, key

    async def _pair(self, csr: bytes | None, device_id: str | None) -> IssuedCredential:
        pending = await self.identity.request("192.0.2.9", "virtual", csr=csr, token_wanted=csr is None, secret=None)
        assert isinstance(pending, PendingPairing)
        await self.identity.confirm(pending.code, PairingRequest(device_id=device_id))
        paired = await self.identity.wait_for_outcome(pending)
        assert isinstance(paired, IssuedCredential)
        return paired


def closed(code: int, reason: Reason, device_id: str | None = None) -> CredentialRefusal:
    assert reason.close_code == code
    return CredentialRefusal(reason, device_id)


def make_csr(key: ec.EllipticCurvePrivateKey, name: str = "ignored") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost", session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a TLS connection in memory, the client's first."""
    up = ssl.MemoryBIO()
    down = ssl.MemoryBIO()
    here = client.wrap_bio(down, up, server_hostname=name, session=session)
    there = server.wrap_bio(up, down, server_side=True)
    for end in (here, there) * 3:
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    there.write(b"x")
    assert here.read(1) == b"x"  # the tickets of TLS 1.3 came before
    return here, there


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "identity"


@pytest.fixture
async def host(folder: Path, database: Database, clock: Clock) -> Host:
    devices = Devices()
    authority = await Authority.open(folder, IdentityTable(database), lambda: NAMES, now_ms=clock.ms)
    identity = HostIdentity(
        authority, database, port=8443, enrol=devices, mint_id=devices.mint_id, now_ms=clock.ms, clock_s=clock
    )
    return Host(folder, clock, identity, devices)
