"""The module `socket` of one program: TCP within its permission, with limits and time-outs. Read in when it is used.

What waits is a coroutine, which the host awaits in the program: all others go on meanwhile. netport.py has the sockets.
"""

import asyncio
import sys
from errno import EACCES, EAGAIN, EBADF, EINPROGRESS, EINVAL, ENOTCONN, EOPNOTSUPP, ETIMEDOUT

from micropython import const

MAX_SOCKETS = const(4)
# Without a time-out of the program's: a chip's own would be forever.
_WAIT_MS = const(10_000)
_PIECE = const(512)
_LINE_PIECE = const(128)
_MOST = const(16_384)
# It is not among the names of the module errno.
ENFILE = 23
_NO_ADDRESS = const(-2)
_POLLIN = const(1)
_POLLHUP = const(16)


def module(env):
    return Net(env)


class Net:
    """`socket` of one program; its connections and listeners are closed with it."""

    AF_INET = 2
    AF_INET6 = 10
    SOCK_STREAM = 1
    SOCK_DGRAM = 2
    SOCK_RAW = 3
    IPPROTO_IP = 0
    IPPROTO_TCP = 6
    SOL_SOCKET = 4095
    SO_REUSEADDR = 4
    TCP_NODELAY = 1
    error = OSError

    def __init__(self, env):
        self._env = env
        self._tcp = env.ours("netport")
        facts = env._runner.slots.facts(env.name)
        self._hosts = []
        self._ports = []
        if facts[6:]:
            self._hosts = facts[6]
            self._ports = facts[7]
        # Maps an address to the name whose look-up gave it.
        self._names = {}
        self._sockets = []
        # Set when a socket is closed.
        self._room = asyncio.Event()
        env._closing.append(self)

    def socket(self, family=2, kind=1, *_):
        if kind != 1:
            raise OSError(EOPNOTSUPP, "programs have TCP only: no UDP and no raw sockets")
        return Socket(self)

    async def getaddrinfo(self, host, port, *_):
        """Return one row; the address of a server of the program itself is any."""
        address = "0.0.0.0"
        port = int(port)
        if host not in ("", address):
            address = await self._resolve(host, port)
        return [(2, 1, 0, "", (address, port))]

    async def _resolve(self, host, port):
        """Return the address of a host that the program may talk to. OSError: it may not, or there is none."""
        if type(host) is bytes:
            host = host.decode()
        is_address = self._is_address(host, port)
        name = self._names.get(host, host)
        is_written_out = "%s:%d" % (name.lower(), port) in self._hosts
        if name.lower() not in self._hosts and not is_written_out:
            text = "%s:%d is none of this program's hosts: %s"
            raise OSError(EACCES, text % (name, port, ", ".join(self._hosts) or "it has none"))
        address = host
        if not is_address:
            address = await self._look_up(host)
        why = self._rules().refusal(address, name, port, self._env._board, is_written_out)
        if why is not None:
            raise OSError(EACCES, "%s (%s): %s" % (name, address, why))
        if address != name:
            self._names[address] = name
        return address

    def _is_address(self, host, port):
        """Return False for a name. OSError if a host or port has another form."""
        net_rules = self._rules()
        # A class of the program's own could say another thing each time it is asked.
        if type(host) is not str or not net_rules.is_port(port):
            raise OSError(EINVAL, "a host is a text, its port a number")
        if net_rules.numbers(host) is not None:
            return True
        if not net_rules.is_name(host):
            raise OSError(EACCES, "%s is neither a name nor four numbers from 0 to 255" % host)
        return False

    def _rules(self):
        """Return net_rules for one use: to keep it takes 2.5 KB, which a board without PSRAM needs for look-ups."""
        net_rules = self._env.ours("net_rules")
        sys.modules.pop("net_rules")
        return net_rules

    async def _look_up(self, host):
        try:
            return await self._waits(self._tcp.look_up(host), _WAIT_MS)
        except OSError:
            raise OSError(_NO_ADDRESS, "no address is known of %s" % host)

    async def _waits(self, awaited, ms):
        """Await what takes a while; OSError after `ms`, None for never."""
        self._env.before_wait()
        try:
            if ms is None:
                return await awaited
            return await asyncio.wait_for_ms(awaited, ms)
        except asyncio.TimeoutError:
            raise OSError(ETIMEDOUT)
        finally:
            self._env.after_wait()

    def _listen(self, port):
        if not self._rules().is_port(port) or port not in self._ports:
            ports = ", ".join([str(own) for own in self._ports])
            raise OSError(EACCES, "port %s is none of this program's ports: %s" % (port, ports or "it has none"))
        return self._tcp.listen(port)

    def _add(self, socket):
        """Count a socket that is about to be open."""
        if not self._env.is_open:
            raise self._env.Cancelled()
        self._check_room()
        self._sockets.append(socket)

    def _check_room(self):
        if len(self._sockets) >= MAX_SOCKETS:
            # A chip closes what the program has forgotten, as after a connection that broke.
            for socket in self._sockets[:]:
                if socket._is_over:
                    socket.close()
        if len(self._sockets) >= MAX_SOCKETS:
            raise OSError(ENFILE, "a program may have %d sockets: close() those that are done" % MAX_SOCKETS)

    async def _wait_for_room(self):
        while len(self._sockets) >= MAX_SOCKETS:
            self._room.clear()
            await self._waits(self._room.wait(), None)

    def _remove(self, socket):
        if socket in self._sockets:
            self._sockets.remove(socket)
        self._room.set()

    def deinit(self):
        for socket in self._sockets[:]:
            socket.close()


class Socket:
    """A connection or a listener. After `settimeout(0)` nothing waits."""

    def __init__(self, net):
        self._net = net
        self._tcp = net._tcp
        # None before it is open, and afterwards.
        self._handle = None
        self._is_accepted = False
        self._is_closed = False
        # The peer has gone.
        self._is_over = False
        self._port = self._peer = None
        # The program's own; None if it sets none.
        self._timeout_ms = None
        # The one in its place; None is forever.
        self._usual_timeout_ms = _WAIT_MS
        # What `readline` has received beyond its line.
        self._rest = b""

    def settimeout(self, seconds):
        self._timeout_ms = None if seconds is None else int(seconds * 1000)

    def setblocking(self, flag):
        self._timeout_ms = None if flag else 0

    def setsockopt(self, *_):
        pass

    def makefile(self, *_):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._is_closed = True
        self._release()

    def bind(self, address):
        self._port = address[1]

    def listen(self, _backlog=5):
        if self._port is None:
            raise OSError(EOPNOTSUPP, "bind() to a port first")
        self._hold(self._net._listen, self._port)

    async def accept(self):
        """Return the next connection and its address; without a time-out of the program's it waits forever."""
        handle = self._opened()
        while True:
            self._net._check_room()
            accepted = self._tcp.accept(handle)
            if accepted is not None:
                break
            if self._timeout_ms == 0:
                raise OSError(EAGAIN)
            await self._net._waits(self._tcp.ready(handle, False), self._timeout_ms)
            self._opened()
        other = Socket(self._net)
        other._is_accepted = True
        other._hold(lambda: accepted[0])
        other._peer = accepted[1]
        return other, accepted[1]

    async def connect(self, address):
        host, port = address[:2]
        if self._handle is not None or self._is_closed:
            raise OSError(EBADF)
        place = await self._net._resolve(host, port)
        self._hold(self._tcp.connect, place, port)
        if self._timeout_ms == 0:
            raise OSError(EINPROGRESS)
        try:
            while not self._tcp.is_open(self._opened()):
                await self._wait(True)
        except OSError:
            self._release()
            raise

    def _hold(self, opening, *args):
        """Count this socket, and open it; it counts no more if that fails."""
        self._net._add(self)
        try:
            self._handle = opening(*args)
        except OSError:
            self._release()
            raise

    def _release(self):
        handle = self._handle
        self._handle = None
        self._net._remove(self)
        if handle is not None:
            self._tcp.close(handle)

    async def recv(self, n):
        data = await self._receive(n)
        if data is None:
            raise OSError(EAGAIN)
        return data

    async def recv_into(self, buffer, n=0):
        data = await self.recv(n or len(buffer))
        buffer[: len(data)] = data
        return len(data)

    async def read(self, n=-1):
        """Read `n` bytes, less only at the end; without `n` all, up to 16 KB. None: it never waits, nothing is here."""
        pieces = []
        count = 0
        while count != n:
            _check_size(max(n, count))
            data = await self._receive(_PIECE if n < 0 else n - count)
            if data is None and not pieces:
                return None
            if not data:
                break
            pieces.append(data)
            count += len(data)
            await self._net._env.y()
        return b"".join(pieces)

    async def readinto(self, buffer, n=None):
        data = await self.read(len(buffer) if n is None else n)
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    async def readline(self):
        pieces = []
        count = 0
        while True:
            _check_size(count)
            data = await self._receive(_LINE_PIECE)
            if data is None:
                self._rest = b"".join(pieces)
                return None
            end = data.find(b"\n") + 1
            if end:
                self._rest = data[end:] + self._rest
                data = data[:end]
            pieces.append(data)
            count += len(data)
            if end or not data:
                return b"".join(pieces)
            await self._net._env.y()

    async def send(self, data):
        count = await self._send(data)
        if not count and len(data):
            raise OSError(EAGAIN)
        return count

    async def sendall(self, data):
        if await self._send(data) < len(data):
            raise OSError(EAGAIN)

    async def write(self, data, n=None):
        count = await self._send(data if n is None else data[:n])
        if not count and len(data):
            return None
        return count

    def _opened(self):
        """Return the handle; OSError without one."""
        if self._handle is None:
            raise OSError(EBADF if self._is_closed else ENOTCONN)
        return self._handle

    def _events(self):
        """Return what can be done without a wait, as bits of the module select; POLLIN also if it can accept."""
        if self._handle is None:
            return _POLLHUP
        return self._tcp.events(self._handle) | (_POLLIN if self._rest else 0)

    def _ask(self, function, argument):
        try:
            return function(self._opened(), argument)
        except OSError:
            self._is_over = True
            raise

    async def _wait(self, is_writing):
        await self._net._waits(self._tcp.ready(self._handle, is_writing), self._timeout_ms or self._usual_timeout_ms)

    async def _receive(self, most):
        """Return up to `most` bytes, b"" at the end; None: it never waits, and nothing is here.

        A client of the program's own server that says nothing for 10 s counts as gone.
        """
        if self._rest:
            data = self._rest[:most]
            self._rest = self._rest[most:]
            return data
        while True:
            data = self._ask(self._tcp.receive, min(most, _PIECE))
            if data == b"" and not self._is_accepted:
                self._is_over = True
            if data is not None or self._timeout_ms == 0:
                return data
            try:
                await self._wait(False)
            except OSError as exc:
                if exc.errno == ETIMEDOUT and self._is_accepted and self._timeout_ms is None:
                    return b""
                raise

    async def _send(self, data):
        """Send all; return how many bytes went out: less only if it never waits."""
        if isinstance(data, str):
            data = data.encode()
        view = memoryview(data)
        sent = 0
        while sent < len(view):
            count = self._ask(self._tcp.send, view[sent:])
            if count is not None:
                sent += count
                await self._net._env.y()
            elif self._timeout_ms == 0:
                break
            else:
                await self._wait(True)
        return sent


def _check_size(size):
    if size > _MOST:
        raise MemoryError("at most %d bytes at once: read them in pieces" % _MOST)
