"""A device written from docs/protocols/link.md alone, as a firmware author would: nothing of microclaw is imported."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.link.end import End, Numbers, closing
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

BACK_S = 0.5


class PlainDevice:
    """`ready()` is one greeted connection; `running` serves calls for as long as it lasts."""

    def __init__(self, host: str, port: int, ca_sha256: str, secret: str | None, *, token: bool = True) -> None:
        self.host = host
        self.port = port
        self.ca_sha256 = ca_sha256
        self.secret = secret
        self.wants_token = token
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.token: str | None = None
        self.certificate: x509.Certificate | None = None
        self.ca: str | None = None
        self.boot_id = os.urandom(16)
        self.numbers = Numbers()

    async def fetch(self) -> str:
        """The host's authority, which its fingerprint proves."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(self.host, self.port, ssl=tls)
        writer.write(f"GET /ca.pem HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode())
        pem = (await reader.read(-1)).partition(b"\r\n\r\n")[2].decode()
        writer.transport.abort()
        assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() == self.ca_sha256
        return pem

    async def tls(self) -> ssl.SSLContext:
        self.ca = self.ca or await self.fetch()
        context = ssl.create_default_context(cadata=self.ca)
        if self.certificate is not None:
            show(context, self.key, self.certificate)
        return context

    @asynccontextmanager
    async def connected(self, *, compression: Any = None) -> AsyncIterator[End]:
        """Before the greeting."""
        socket = await connect(
            f"wss://{self.host}:{self.port}/link",
            ssl=await self.tls(),
            subprotocols=[Subprotocol("microclaw.v1")],
            additional_headers={"Authorization": f"Bearer {self.token}"} if self.token else {},
            compression=compression,
            max_size=None,
            ping_interval=None,
        )
        async with closing(End(socket, self.numbers)) as end:
            yield end

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[End]:
        async with self.connected() as end:
            await self.greet(end)
            yield end

    async def greet(self, end: End, rx_seq: int | None = None) -> dict[str, Any]:
        """`hello`; the body of the host's `welcome`. Both ends' numbers go on from it."""
        numbers = self.numbers
        hello: dict[str, Any] = {"boot_id": self.boot_id, "firmware": {"name": "plain", "version": "1"}}
        hello |= {"board": "my-own_v1", **self.facts(), "tx_epoch": numbers.tx_epoch, "reset_reason": "power_on"}
        hello |= {"rx_seq": numbers.rx_seq if rx_seq is None else rx_seq}
        if numbers.rx_epoch is None:
            hello |= {}
        else:
            hello |= {"rx_epoch": numbers.rx_epoch}
        await end.say("hello", hello)
        welcome: dict[str, Any] = (await end.next("welcome"))["body"]
        if welcome["tx_epoch"] != numbers.rx_epoch:
            numbers.rx_epoch = welcome["tx_epoch"]
            numbers.rx_seq = 0
        if welcome.get("rx_epoch") == numbers.tx_epoch:
            numbers.tx_last = welcome["rx_seq"]
        else:
            numbers.tx_last = 0
        return welcome

    def pair_request(self) -> dict[str, Any]:
        wanted = {"token_wanted": True} if self.wants_token else {"csr": request_for(self.key)}
        return {"board": "my-own_v1", **wanted, **({"secret": self.secret} if self.secret else {})}

    async def pair(self) -> None:
        async with self.connected() as end:
            asked = await end.say("pair_request", self.pair_request())
            done = (await end.next("pair_done", asked))["body"]
        self.token = done.get("token")
        if "certificate" in done:
            self.certificate = x509.load_der_x509_certificate(done["certificate"])

    async def run(self) -> None:
        await self.pair()
        while True:
            with suppress(ConnectionClosed, OSError):
                async with self.ready() as end:
                    while True:
                        await self.answer(end, await end.next("call"))
            await asyncio.sleep(BACK_S)  # the page's rule of coming back

    async def answer(self, end: End, call: dict[str, Any]) -> None:
        say = end.say_durable if "seq" in call else end.say
        await say("result", self.done(call["body"]["method"], call["body"]["params"]), re=call["id"])

    def facts(self) -> dict[str, Any]:
        """Of its hello."""
        return {"capabilities": ["device.info"]}

    def done(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "device.info":
            return {"ok": True, "value": {}}
        return refused("not_supported")


def refused(code: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "message": "no"}}


def request_for(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.DER)


def show(context: ssl.SSLContext, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    """The device's certificate, to the host."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "device.pem"
        path.write_bytes(pem)
        context.load_cert_chain(path)


@asynccontextmanager
async def running(device: PlainDevice) -> AsyncIterator[PlainDevice]:
    task = asyncio.create_task(device.run(), name="plain device")
    try:
        yield device
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
