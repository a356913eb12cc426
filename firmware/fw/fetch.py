"""HTTPS requests of programs: the host makes them, as a board has no list of authorities. Read in when it is used.

docs/protocols/link.md ("Fetch") has the messages. Only the link's own task sends: a program that ends in the middle of
a message would break the connection.
"""

import asyncio
import os
from errno import EACCES, EAGAIN, ECONNABORTED, EHOSTUNREACH, EINVAL, ENOBUFS, ENOMEM, ETIMEDOUT
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

MAX_S = const(20)
_AT_ONCE = const(2)
_PIECE = const(4_096)
# Of a body: with PSRAM, and without it as far as there is room.
_MOST = const(65_536)
_MOST_SMALL = (8_192, 4_096, 2_048)
# The host has its own time-out; beyond it there is no answer to come.
_GRACE_MS = const(2_000)
_AWAY = "the host is away, and it makes the https requests of programs"
_NUMBERS = {
    "away": EHOSTUNREACH,
    "fetch_refused": EACCES,
    "fetch_busy": EAGAIN,
    "fetch_timeout": ETIMEDOUT,
    "fetch_too_large": ENOBUFS,
}


async def fetch(env, method, url, headers, body, timeout):
    """Have the host make a request; return status, headers and body. OSError if there is no answer."""
    check_host(env, url)
    data = b"" if body is None else body
    if isinstance(data, str):
        data = data.encode()
    most = _room(env)
    if len(data) > most:
        raise OSError(ENOBUFS, "a body of %d bytes, at most %d" % (len(data), most))
    request = {"app": env.name, "method": method.upper(), "url": url, "size": len(data), "most": most}
    request["headers"] = {str(name): str(value) for name, value in (headers or {}).items()}
    request["timeout_ms"] = int(1000 * min(timeout, MAX_S))
    link = env._runner.link
    if link is None:
        raise OSError(EHOSTUNREACH, _AWAY)
    if link.fetches is None:
        link.fetches = Fetches(link)
    await env.sleep_ms(0)
    answer = await link.fetches.ask(env, request, data)
    await env.sleep_ms(0)
    return answer


def _room(env):
    """Return the bytes that a body may have, in both directions; OSError if there is no memory for one.

    A body is in memory as pieces, as their whole, and as the message that is read or sent.
    """
    if not env._board.is_small:
        return _MOST
    for most in _MOST_SMALL:
        if env._runner.has_room(3 * most):
            return most
    raise OSError(ENOMEM, "no memory for an answer")


def check_host(env, url):
    """OSError unless the program may talk to the host of an https address."""
    host, port = place(url)
    hosts = env._runner.slots.facts(env.name)[6:7]
    allowed = hosts[0] if hosts else ()
    if host not in allowed and "%s:%d" % (host, port) not in allowed:
        text = "%s:%d is none of this program's hosts: %s"
        raise OSError(EACCES, text % (host, port, ", ".join(allowed) or "it has none"))


def place(url):
    """Return host and port of an https address; OSError for another text."""
    end = len(url)
    for mark in "/?#":
        at = url.find(mark, 8)
        if 0 < at < end:
            end = at
    host, _, port = url[8:end].lower().partition(":")
    port = port or "443"
    is_host = host and "@" not in host and port.isdigit()
    if not is_host or url[:8].lower() != "https://":
        raise OSError(EINVAL, "fetch takes https:// addresses, not %s" % url[:80])
    return host, int(port)


class Fetches:
    """The fetches over one link: two are under way, the others wait for a place."""

    def __init__(self, link):
        self._link = link
        # The Answer that is awaited, by the id of the request's message.
        self._open = {}
        # What is to be sent: the id, the rest of the body, and the head until it is sent.
        self._unsent = []
        self._changed = asyncio.Event()

    async def ask(self, _env, request, data):
        until = ticks_add(ticks_ms(), request["timeout_ms"] + _GRACE_MS)
        while self._count() >= _AT_ONCE:
            await self._wait(self._changed, until)
            self._changed.clear()
        if self._link.phase != "ready":
            raise OSError(EHOSTUNREACH, _AWAY)
        id = os.urandom(16)
        answer = Answer(request["most"], until)
        # It keeps its place if the program ends meanwhile, because the host goes on.
        self._open[id] = answer
        self._unsent.append([id, data, request])
        self._link._news.set()
        try:
            await self._wait(answer.over, until)
        except OSError:
            self._forget(id)
            raise
        if answer.error is not None:
            code, text = answer.error
            raise OSError(_NUMBERS.get(code, ECONNABORTED), text)
        return answer.status, answer.headers, b"".join(answer.pieces)

    def _count(self):
        """Return the number of fetches under way; those whose time is over are none."""
        now = ticks_ms()
        for id in [id for id in self._open if ticks_diff(self._open[id].until, now) <= 0]:
            self._forget(id)
        return len(self._open)

    async def _wait(self, event, until):
        try:
            await asyncio.wait_for_ms(event.wait(), max(0, ticks_diff(until, ticks_ms())))
        except asyncio.TimeoutError:
            raise OSError(ETIMEDOUT, "the host did not answer in time")

    def _forget(self, id):
        self._open.pop(id, None)
        self._unsent = [unsent for unsent in self._unsent if unsent[0] != id]
        self._changed.set()

    async def send_next(self):
        """Send the next message of a request; return False if there is none. For the link's own task."""
        if not self._unsent:
            return False
        unsent = self._unsent[0]
        id, data, head = unsent
        if head is not None:
            unsent[2] = None
            await self._link._say("fetch", head, None, id)
        else:
            unsent[1] = data[_PIECE:]
            await self._link._say("fetch_piece", {"data": data[:_PIECE]}, id)
        if not unsent[1] and unsent in self._unsent:
            self._unsent.remove(unsent)
        return True

    def take(self, type, body, re):
        """Take a message of the host; return False if it is not about a fetch."""
        if type not in ("fetched", "fetch_piece", "error"):
            return False
        answer = self._open.get(re and bytes(re))
        if answer is None:
            return type != "error"
        if type == "error":
            answer.error = (body["code"], body["message"])
        elif type == "fetched":
            answer.begin(body)
        else:
            answer.add(body["data"])
        if answer.error is not None or not answer.left:
            answer.over.set()
            self._forget(bytes(re))
        return True

    def leave(self):
        """End all: the connection has ended."""
        for id in list(self._open):
            answer = self._open[id]
            answer.error = ("away", "the host went away")
            answer.over.set()
            self._forget(id)


class Answer:
    """The answer of one fetch, as far as it is here. `left` is None until its head has come."""

    def __init__(self, most, until):
        self.until = until
        self.over = asyncio.Event()
        self.error = None
        self.status = self.headers = self.left = None
        self.pieces = []
        self._most = most

    def begin(self, body):
        self.status = body["status"]
        self.headers = body["headers"]
        self.left = body["size"]
        if self.left > self._most:
            self.error = ("fetch_too_large", "an answer of %d bytes, at most %d" % (self.left, self._most))

    def add(self, data):
        if self.left is None or len(data) > self.left:
            self.error = ("failed", "the host sent more than it said")
            return
        self.pieces.append(data)
        self.left -= len(data)
