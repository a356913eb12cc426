"""`open_connection` and `start_server` of asyncio for one program, over its own sockets (net.py)."""

import sys
from errno import EOPNOTSUPP

from micropython import const

# A client of the program's own server that says nothing for this long counts as gone.
_IDLE_MS = const(60_000)


async def open_connection(env, host, port, ssl=None, **_):
    """Connect; return a reader and a writer, which are one stream."""
    _refuse_tls(ssl)
    net = env.module("socket")
    connection = net.socket()
    try:
        await connection.connect((host, port))
    except OSError:
        connection.close()
        raise
    # As MicroPython's streams: a program that waits too long uses wait_for.
    connection._usual_timeout_ms = None
    stream = Stream(connection)
    return stream, stream


async def start_server(env, task, host, port, backlog=5, ssl=None):
    """Listen; call `task(reader, writer)` for each connection, as a task of the program."""
    _refuse_tls(ssl)
    listener = env.module("socket").socket()
    try:
        listener.bind((host, port))
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    server = Server(listener)
    server.task = env.spawn(server._serve(env, task))
    return server


def _refuse_tls(ssl):
    if ssl:
        raise OSError(EOPNOTSUPP, "programs have no TLS on the board: microclaw.fetch asks the host for https")


class Server:
    """A listener with the task that accepts its connections."""

    def __init__(self, listener):
        self._listener = listener
        self.task = None

    async def _serve(self, env, task):
        try:
            while True:
                try:
                    stream = Stream(await self._accept())
                except OSError as exc:
                    if exc.errno != sys.modules["net"].ENFILE:
                        raise
                    await self._listener._net._wait_for_room()
                    continue
                env.spawn(_handle(env, task, stream))
        finally:
            self._listener.close()

    async def _accept(self):
        connection, _ = await self._listener.accept()
        connection._usual_timeout_ms = _IDLE_MS
        return connection

    def close(self):
        self.task.cancel()
        self._listener.close()

    async def wait_closed(self):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()


async def _handle(env, task, stream):
    """Have a client handled. One that goes away meanwhile is no fault of the program."""
    try:
        await env.aw(task(stream, stream))
    except (OSError, EOFError) as exc:
        env.log("a client went away: %r" % exc)
    finally:
        stream._connection.close()


class Stream:
    """The reader and the writer of one connection."""

    def __init__(self, connection):
        self._connection = connection
        # What is to be sent by `drain`.
        self._out = b""
        self.s = connection
        self.readline = connection.readline

    def get_extra_info(self, name):
        return {"peername": self._connection._peer}[name]

    async def read(self, n=-1):
        """Return up to `n` bytes, as soon as some are here; without `n` all."""
        if n < 0:
            return await self._connection.read()
        return await self._connection.recv(n)

    async def readinto(self, buffer):
        return await self._connection.recv_into(buffer)

    async def readexactly(self, n):
        data = await self._connection.read(n)
        if len(data) < n:
            raise EOFError
        return data

    def write(self, data):
        if isinstance(data, str):
            data = data.encode()
        self._out += data

    async def drain(self):
        data = self._out
        self._out = b""
        await self._connection.sendall(data)

    async def awrite(self, data):
        self.write(data)
        await self.drain()

    def close(self):
        # Many programs leave out wait_closed, which sends what is left.
        if not self._out:
            self._connection.close()

    async def wait_closed(self):
        try:
            await self.drain()
        finally:
            self._connection.close()

    aclose = wait_closed
