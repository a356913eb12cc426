"""A proxy on its socket and servers on loopback, all of them real; names and public addresses are the tests' own."""

from __future__ import annotations

import asyncio
import email
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from tests.peers import listening

from microclaw.host.audit.event import AuditEvent
from microclaw.host.auth.certificates import KeyPair, new_authority, server_certificate
from microclaw.host.egress.destinations import Address, Egress, is_public
from microclaw.host.egress.proxy import EgressProxy, ProxyTimes
from microclaw.host.egress.secret_values import SecretValues

WAIT_S = 60.0
HOST = "api.example.com"
SECRET = "s3cr3t/va+lue ${HOME}=42"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Names:
    """A resolver on paper: the next answer of each name, its last one forever; of an empty one there is none."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        found = self.answers.get(host, ["127.0.0.1"])
        if len(found) > 1:
            return (found.pop(0),)
        return tuple(found)


@dataclass
class Server:
    """An origin server; `seen` has the head of each connection's request. `news`: another one came. `passed`: what went
    through the tunnels of a proxy."""

    port: int = 0
    seen: list[bytes] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    passed: Sequence[bytes] = ()

    @property
    def targets(self) -> list[str]:
        return [head.split(b" ")[1].decode() for head in self.seen]

    @property
    def heads(self) -> list[dict[str, str]]:
        heads = [email.message_from_bytes(head.partition(b"\r\n")[2]) for head in self.seen]
        return [{name.lower(): str(value) for name, value in head.items()} for head in heads]


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


def page(body: bytes | str, kind: str = "text/html; charset=utf-8", *more: str, status: str = "200 OK") -> bytes:
    if isinstance(body, bytes):
        content = body
    else:
        content = body.encode()
    head = (f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(content)}", "Connection: close")
    return "\r\n".join((*head, *more, "", "")).encode() + content


def moved(to: str) -> bytes:
    return page("", "text/html", f"Location: {to}", status="302 Found")


def site(
    answer: Callable[[str], bytes | None], tls: ssl.SSLContext | None = None
) -> AbstractAsyncContextManager[Server]:
    """A server that gives `answer(target)`; None never answers."""

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        found = answer(head.split(b" ")[1].decode())
        if found is None:
            await reader.read()
        writer.write(found or b"")
        await writer.drain()

    return server(answered, tls=tls)


def connect_proxy(to_port: int | None = None) -> AbstractAsyncContextManager[Server]:
    """A proxy that takes CONNECT alone; with `to_port` each tunnel ends there on this machine, whatever was asked."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        if to_port is None:
            to = (host, int(port))
        else:
            to = ("127.0.0.1", to_port)
        inner, outer = await asyncio.open_connection(*to)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, outer), pump(inner, writer), return_exceptions=True)

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                passed.append(data)
                target.write(data)
                await target.drain()
        finally:
            target.close()

    passed: list[bytes] = []
    return server(relay, passed=passed)


@asynccontextmanager
async def server(
    answer: bytes | Answer = OK, *, tls: ssl.SSLContext | None = None, passed: Sequence[bytes] = ()
) -> AsyncIterator[Server]:
    """Answers each connection's first request; what it says after its head is read as far as it is there."""
    made = Server(passed=passed)

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        made.seen.append(head)
        made.news.set()
        if isinstance(answer, bytes):
            writer.write(answer)
            await writer.drain()
        else:
            await answer(reader, writer, head)

    async with listening(answered, tls=tls) as made.port:
        yield made


@dataclass
class Proxy:
    """A task's proxy. `events` is the security log; `noted` says that it has a line."""

    port: int
    names: Names
    events: list[AuditEvent]
    file: Path
    noted: asyncio.Event
    web: Server = field(default_factory=Server)

    @property
    def place(self) -> str:
        """The allowed host and its port."""
        return f"{HOST}:{self.web.port}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, request: bytes) -> bytes:
        """All that comes back until the proxy closes."""
        async with asyncio.timeout(WAIT_S):
            reader, writer = await self.connect()
            writer.write(request)
            try:
                return await reader.read()
            finally:
                writer.close()

    async def tunnel(self, place: str) -> bytes:
        return await self.send(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())

    async def get(self, url: str = "/", *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
        """Ask for a whole address, or a path of the allowed host."""
        if url.startswith("/"):
            url = f"http://{self.place}{url}"
        host = url.partition("://")[2].partition("/")[0]
        lines = [f"{method} {url} HTTP/1.1", f"Host: {host}", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return await self.send("\r\n".join([*lines, "", ""]).encode() + body)


def loopback_is_public(address: Address) -> bool:
    """The rule, but for 127.0.0.1, where the servers of the tests are."""
    return address == ip_address("127.0.0.1") or is_public(address)


@asynccontextmanager
async def proxy(home: Path, allowlist: str, *, names: Names | None = None, **parts: Any) -> AsyncIterator[Proxy]:
    """`parts`: times, now_s, tls, secrets."""
    file = home / "egress.yaml"
    file.write_text(allowlist)
    events: list[AuditEvent] = []
    noted = asyncio.Event()

    def record(event: AuditEvent) -> None:
        events.append(event)
        noted.set()

    known = names or Names()
    secrets: dict[str, str] = parts.pop("secrets", {})
    times = parts.pop("times", ProxyTimes(head_s=WAIT_S, stall_s=WAIT_S))
    values = SecretValues(home, {})
    for name, value in secrets.items():
        values.set(name, value)
    egress = Egress(resolve=known, is_public=loopback_is_public, own=tuple)
    made = EgressProxy(home, egress, values, record=record, times=times, **parts)
    listening = socket.create_server(("127.0.0.1", 0), backlog=300)
    port = listening.getsockname()[1]
    serving = asyncio.create_task(made.for_task("plot", "plot")(listening))
    try:
        yield Proxy(port, known, events, file, noted)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def allowed(
    home: Path, answer: bytes | Answer = OK, entry: str = "", *, limits: str = "", **parts: Any
) -> AsyncIterator[Proxy]:
    """A server, and a proxy that allows it by an entry with these fields; one with a secret speaks TLS."""
    is_secret = "secret:" in entry
    if is_secret:
        parts = {"secrets": {"key": SECRET}, "tls": client_tls} | parts
    async with server(answer, tls=server_tls(home) if is_secret else None) as web:
        fields = ", ".join(filter(None, (f"host: {HOST}, ports: [{web.port}]", entry)))
        async with proxy(home, allow(fields, limits=limits), **parts) as task:
            task.web = web
            yield task


def allow(*entries: str, limits: str = "") -> str:
    """An egress.yaml of entries in flow style."""
    return (
        "allow:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries) + (f"limits: {{{limits}}}\n" if limits else "")
    )


def status(answer: bytes) -> int:
    """Of an answer; 0 where the proxy closed without one."""
    if answer:
        return int(answer.split(b" ", 2)[1])
    return 0


@cache
def authority(host: str) -> KeyPair:
    return new_authority(datetime.now(UTC))


def server_tls(folder: Path, host: str = HOST) -> ssl.SSLContext:
    """The certificate of a server of that name; its authority's is in the file too, for who is to trust it."""
    made = server_certificate(authority(host), [host], (), datetime.now(UTC))
    (folder / "server.pem").write_bytes(made.to_pem() + authority(host).to_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


def client_tls(host: str = HOST) -> ssl.SSLContext:
    """Trusts that one server's authority alone."""
    return ssl.create_default_context(cadata=authority(host).certificate.public_bytes(Encoding.PEM).decode())
