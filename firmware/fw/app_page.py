"""One HTTP request to a program's own server, for the host. The answer goes back in pieces, with a call each.

The board is the server's client at 127.0.0.1, one request at a time. A call that comes twice does nothing twice.
"""

import asyncio
from time import ticks_add, ticks_diff, ticks_ms

import netport
from app_calls import of_kind, whole
from errors import CallError
from micropython import const

_PIECE = const(2048)
_SENT_AT_ONCE = const(1024)
# A call waits so long for the program, as other calls wait for it.
_CALL_MS = const(400)
_LIMIT_MS = const(10_000)
# A program that takes no connection or does not read holds up the other calls for no longer.
_SEND_MS = const(2_000)
_MOST = const(65_536)


async def apps_page(calls, params):
    """Return {answer, more, cursor}: the answer's bytes from `cursor` on, and whether there is more.

    A new `number` makes a new request; later calls for it give the cursor that they have. `calls.page` has the client.
    """
    number = whole(params, "number")
    cursor = whole(params, "cursor", default=0)
    client = calls.page
    if client is None or client.number != number:
        if cursor:
            raise CallError("failed", "this answer is over")
        if client is not None:
            client.close()
        client = calls.page = Client(number)
        await client.begin(calls.runner, of_kind(params, "name", str), of_kind(params, "request", bytes))
    return await client.answer(cursor)


class Client:
    """A connection to a program's server. The last piece is kept until a call has the next cursor."""

    def __init__(self, number):
        self.number = number
        self._handle = None
        self._closer = None
        now = ticks_ms()
        self._until = ticks_add(now, _LIMIT_MS)
        self._sent_until = ticks_add(now, _SEND_MS)
        self._start = 0
        self._piece = b""
        # The length of the whole answer, as far as its head says.
        self._length = _MOST + 1
        self._is_over = False

    async def begin(self, runner, name, request):
        """Connect and send. CallError if no port of the program takes it."""
        facts = runner.slots.facts(name)
        ports = facts[7] if facts[6:] else []
        if not ports:
            raise CallError("not_supported", name + " opens no port")
        port = 80 if 80 in ports else ports[0]
        try:
            self._handle = netport.connect("127.0.0.1", port)
            self._closer = asyncio.create_task(self._close_late())
            while not netport.is_open(self._handle):
                await self._ready(True)
            await self._send(memoryview(request))
        except OSError:
            self.close()
            raise CallError("failed", "%s takes no connection at its port %d" % (name, port))

    async def _send(self, request):
        sent = 0
        while sent < len(request):
            count = netport.send(self._handle, request[sent : sent + _SENT_AT_ONCE])
            if count is None:
                await self._ready(True)
            else:
                sent += count

    async def answer(self, cursor):
        if cursor == self._start + len(self._piece):
            self._start = cursor
            self._piece = b""
        if cursor != self._start:
            raise CallError("bad_params", "cursor is neither that of the last piece nor behind it")
        until = ticks_add(ticks_ms(), _CALL_MS)
        while not self._is_over and ticks_diff(until, ticks_ms()) > 0:
            if len(self._piece) == _PIECE:
                break
            await self._receive(until)
        return {"answer": self._piece, "more": not self._is_over, "cursor": cursor + len(self._piece)}

    async def _receive(self, until):
        """Take what has come, or wait for it until a time in ticks."""
        if self._handle is None:
            raise CallError("expired", "the program did not answer in time")
        try:
            data = netport.receive(self._handle, _PIECE - len(self._piece))
        except OSError:
            # The program broke the connection off: what came may be a whole answer.
            data = b""
        if data is None:
            try:
                await self._ready(False, ticks_diff(until, ticks_ms()))
            except OSError:
                # It was closed meanwhile, which the next look at it shows.
                pass
            return
        self._piece += data
        if not self._start:
            self._read_length()
        size = self._start + len(self._piece)
        if not data or size >= self._length:
            self.close()
            self._is_over = True
        elif size > _MOST:
            self.close()
            raise CallError("failed", "an answer of over %d bytes" % _MOST)

    def _read_length(self):
        head, end, _ = self._piece.partition(b"\r\n\r\n")
        _, name, rest = head.lower().partition(b"\r\ncontent-length:")
        if end and name:
            try:
                self._length = len(head) + 4 + int(rest.split(b"\r\n")[0])
            except ValueError:
                pass

    async def _ready(self, is_writing, ms=_LIMIT_MS):
        """Wait until there may be more, at most `ms` and until the limit. OSError if the connection was closed then."""
        until = self._sent_until if is_writing else self._until
        left = min(ms, ticks_diff(until, ticks_ms()))
        try:
            await asyncio.wait_for_ms(netport.ready(self._handle, is_writing), max(left, 0))
        except asyncio.TimeoutError:
            if is_writing:
                raise OSError

    async def _close_late(self):
        """Close what the host does not ask for any more."""
        await asyncio.sleep_ms(_LIMIT_MS)
        self._closer = None
        self.close()

    def close(self):
        handle = self._handle
        closer = self._closer
        self._handle = self._closer = None
        if closer is not None:
            # Many requests in these seconds would keep as many tasks.
            closer.cancel()
        if handle is not None:
            netport.close(handle)
