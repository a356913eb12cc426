"""One HTTP request at a time to a place that the person configured: verified TLS, or nothing is sent. No redirects.

Certificates: every *.der and *.pem file of agent_data/ca. Memory holds one of them at a time, not the whole file.
"""

import asyncio
import binascii
import calendar
import gc
import os

import tls
from dial import address_of
from websocket import Closed, connect

MAX_ANSWER_BYTES = 65536
MAX_CERTIFICATE_BYTES = 8192
CONNECT_S = 15
NO_AUTHORITY = (
    "nobody told this board which certificate authority to trust for {}, and it sends nothing unverified. Give it one "
    "over the cable: ca_pem with each line of the PEM file, or copy a .pem or .der file to agent_data/ca"
)


class HttpError(Exception):
    """No answer, in words for a person; never with a key or a path in it."""


class TooLong(HttpError):
    """`begun` is how the answer begins."""

    def __init__(self, message, begun):
        super().__init__(message)
        self.begun = begun


class Http:
    """`set_clock` is awaited where TLS needs a calendar and the board has none yet."""

    def __init__(self, folder, set_clock):
        self._folder = folder
        self._set_clock = set_clock

    async def request(self, verb, url, headers=(), body=b"", timeout_s=60):
        """Status and body of the answer; `headers` are (name, value) of ours."""
        is_tls, host, port, path = parts_of(url)
        for name, value in headers:
            if "\r" in value or "\n" in value:
                raise HttpError("the {} has a line break in it".format(name))
        try:
            return await asyncio.wait_for(self._exchange(verb, is_tls, host, port, path, headers, body), timeout_s)
        except asyncio.TimeoutError:
            raise HttpError("{} did not answer within {} s".format(host, timeout_s))
        except Closed:
            raise HttpError("{} closed the connection in the middle of its answer".format(host))
        except (OSError, ValueError) as exc:  # ValueError: the certificate is not what it should be
            raise HttpError("no answer of {}: {}".format(host, str(exc).strip() or type(exc).__name__))
        except MemoryError:
            gc.collect()
            raise HttpError("this board has no memory for the answer of {}".format(host))

    async def _exchange(self, verb, is_tls, host, port, path, headers, body):
        context = None
        if is_tls:
            if not calendar.is_set():
                await self._set_clock()
            if not calendar.is_set():
                raise HttpError("the clock is not set yet: certificates cannot be checked. A host or NTP sets it")
            context = self._context(host)
        head = "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: application/json\r\n".format(
            verb, path, host if port in (80, 443) else "{}:{}".format(host, port)
        )
        for name, value in headers:
            head += "{}: {}\r\n".format(name, value)
        if body:
            head += "Content-Type: application/json\r\nContent-Length: {}\r\n".format(len(body))
        stream = await asyncio.wait_for(connect(address_of(host), port, context, host), CONNECT_S)
        try:
            status, found = await stream.ask((head + "\r\n").encode() + body)
            del body
            return status, await _body(stream, found, host)
        finally:
            stream.abort()
            gc.collect()

    def _context(self, host):
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED
        known = 0
        for der in self._authorities():
            try:
                context.load_verify_locations(der)
                known += 1
            except (ValueError, OSError):
                pass  # a kind of key that this image cannot do: the others count
        if not known:
            raise HttpError(NO_AUTHORITY.format(host))
        return context

    def _authorities(self):
        try:
            names = os.listdir(self._folder)
        except OSError:
            names = ()
        for name in names:
            with open(self._folder + "/" + name, "rb") as file:
                if name.endswith(".der"):
                    yield file.read(MAX_CERTIFICATE_BYTES)
                elif name.endswith(".pem"):
                    for der in certificates(file):
                        yield der


def certificates(file):
    """Each certificate of a PEM file, as DER."""
    body = None
    while True:
        line = file.readline()
        if not line:
            return
        line = line.strip()
        if line == b"-----BEGIN CERTIFICATE-----":
            body = bytearray()
        elif line == b"-----END CERTIFICATE-----" and body is not None:
            try:
                der = binascii.a2b_base64(body)
            except ValueError:
                der = None  # damaged: the others count
            body = None
            if der:
                yield der
        elif body is not None and len(body) + len(line) <= MAX_CERTIFICATE_BYTES:
            body.extend(line)


async def _body(stream, headers, host):
    """All of it, or TooLong."""
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        whole = bytearray()
        while True:
            size = int((await stream.line()).split(b";")[0], 16)
            if size <= 0:
                return whole
            room = MAX_ANSWER_BYTES - len(whole)
            whole.extend(await stream.read(min(size, room)))
            if size > room:
                raise TooLong("the answer of {} is longer than {} bytes".format(host, MAX_ANSWER_BYTES), whole)
            await stream.line()
    if b"content-length" not in headers:
        raise HttpError("{} did not say how long its answer is".format(host))
    size = int(headers[b"content-length"])
    if not 0 <= size <= MAX_ANSWER_BYTES:
        begun = await stream.read(1024) if size > 0 else b""
        raise TooLong("the answer of {} is longer than {} bytes".format(host, MAX_ANSWER_BYTES), begun)
    return await stream.read(size)


def parts_of(url):
    """(is TLS, host, port, path) of an http or https address. HttpError for anything else."""
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    host, _, port = place.partition(":")
    plain = all(33 <= ord(sign) < 127 for sign in url)
    if scheme not in ("http", "https") or not host or "@" in place or not plain or (port and not port.isdigit()):
        raise HttpError("an address begins with https:// (or http:// in your own network), a name, and no spaces")
    return scheme == "https", host, int(port or (443 if scheme == "https" else 80)), slash + path or "/"
