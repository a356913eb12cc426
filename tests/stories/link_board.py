"""A board of somebody else's making on the link, written from docs/protocols/link.md alone: websockets, CBOR, TLS."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.stories.conftest import Host
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

CONTROL, AUDIO_IN, AUDIO_OUT = b"\x01", b"\x02", b"\x03"


@dataclass
class Provision:
    """The file of `microclaw device provision --file`, and the authority's certificate once it was fetched."""

    host: str
    port: int
    ca_sha256: str
    secret: str

    def authority(self) -> str:
        """The PEM of the host's authority, where its fingerprint is the one that was provisioned."""
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        with urlopen(f"https://{self.host}:{self.port}/ca.pem", context=unverified) as answer:
            pem: str = answer.read().decode()
        assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() == self.ca_sha256
        return pem


def provision(host: Host, folder: Path, name: str) -> Provision:
    """Provision a board on the command line."""
    file = folder / f"{name}.json"
    made = host.run("device", "provision", name, "--board", "virtual", "--file", str(file), "--address", "127.0.0.1")
    assert made.code == 0, made.err
    found = json.loads(file.read_text())
    return Provision(found["host"], found["port"], found["ca_sha256"], found["secret"])


@dataclass
class Link:
    """One connection: envelopes out and in."""

    socket: ClientConnection
    boot_id: bytes = field(default_factory=lambda: os.urandom(16))
    epoch: bytes = field(default_factory=lambda: os.urandom(8))

    async def send(self, kind: str, body: dict[str, Any], **more: Any) -> bytes:
        """Send one message; its id."""
        envelope = {"v": 1, "type": kind, "id": os.urandom(16), "ts": 0, "body": body, **more}
        await self.socket.send(CONTROL + cbor2.dumps(envelope))
        found: bytes = envelope["id"]
        return found

    async def receive(self, *kinds: str) -> dict[str, Any]:
        """The next message of these kinds; pings are answered meanwhile."""
        while True:
            frame = await self.socket.recv()
            assert isinstance(frame, bytes)
            if frame[:1] != CONTROL:
                continue
            message: dict[str, Any] = cbor2.loads(frame[1:])
            if message["type"] in kinds:
                return message
            if message["type"] == "ping":
                asked = message["body"]
                await self.send("pong", {**asked, "t1": asked["t0"], "t2": asked["t0"]}, re=message["id"])
            assert message["type"] != "error" or not message["body"]["fatal"], message

    async def hello(self, *capabilities: str, **more: Any) -> dict[str, Any]:
        """Greet; the welcome."""
        body = {
            "boot_id": self.boot_id,
            "firmware": {"name": "foreign", "version": "1.0.0"},
            "board": "virtual",
            "capabilities": list(capabilities),
            "tx_epoch": self.epoch,
            "rx_seq": 0,
            "reset_reason": "power_on",
            **more,
        }
        await self.send("hello", body)
        return await self.receive("welcome")

    async def closed(self) -> int:
        """The close code with which the host ended the connection."""
        with suppress(ConnectionClosed):
            while True:
                await self.socket.recv()
        assert self.socket.close_code is not None
        return self.socket.close_code


@asynccontextmanager
async def opened(at: Provision, identity: Path | None = None, token: str | None = None) -> AsyncIterator[Link]:
    """A verified connection, with a certificate, a token, or neither."""
    trusted = ssl.create_default_context(cadata=at.authority())
    if identity is not None:
        trusted.load_cert_chain(identity)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with connect(
        f"wss://{at.host}:{at.port}/link",
        ssl=trusted,
        server_hostname="host.microclaw.internal",
        subprotocols=[Subprotocol("microclaw.v1")],
        additional_headers=headers,
        compression=None,
        ping_interval=None,
    ) as socket:
        yield Link(socket)


async def paired(at: Provision, folder: Path) -> Path:
    """Pair by the secret; the file of a P-256 key and the certificate that the host gave for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    async with opened(at) as link:
        given = {"csr": csr.public_bytes(serialization.Encoding.DER), "secret": at.secret}
        await link.send("pair_request", {"board": "virtual", **given})
        certificate = (await link.receive("pair_done"))["body"]["certificate"]
    file = folder / f"{os.urandom(4).hex()}.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_text(pem.decode() + ssl.DER_cert_to_PEM_cert(certificate))
    return file
