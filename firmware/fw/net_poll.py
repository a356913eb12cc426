"""The module `select` of one program: waits until one of several of its sockets has something. Read in when it is used.

It looks at them every 20 ms, and all others go on meanwhile. `poll`, `ipoll` and `select` are coroutines, as in net.py.
"""

from errno import EINVAL, ENOENT
from time import ticks_diff, ticks_ms

from micropython import const

_LOOK_MS = const(20)
_IN = const(1)
_OUT = const(4)
_ERR = const(8)
_HUP = const(16)


def module(env):
    return Select(env)


class Select:
    """`select` of one program."""

    POLLIN = _IN
    POLLOUT = _OUT
    POLLERR = _ERR
    POLLHUP = _HUP

    def __init__(self, env):
        self._env = env

    def poll(self):
        return Poller(self._env)

    async def select(self, readers, writers, exceptional, seconds=None):
        """Return the sockets of each list that have something; three empty lists after `seconds`."""
        poller = Poller(self._env)
        for mask, sockets in ((_IN, readers), (_OUT, writers), (0, exceptional)):
            for socket in sockets:
                poller.register(socket, mask | poller._mask(socket))
        ms = -1 if seconds is None else int(seconds * 1000)
        ready = ([], [], [])
        for socket, events in await poller.poll(ms):
            if events & _IN and socket in readers:
                ready[0].append(socket)
            if events & _OUT and socket in writers:
                ready[1].append(socket)
            if events & (_ERR | _HUP):
                ready[2].append(socket)
        return ready


class Poller:
    """The sockets that a program waits for, each with the events that it waits for."""

    def __init__(self, env):
        self._env = env
        # By the id of a socket: the socket, and its mask.
        self._watched = {}

    def register(self, socket, mask=_IN | _OUT):
        if type(socket) is not self._env.ours("net").Socket:
            raise OSError(EINVAL, "poll waits for sockets only")
        self._watched[id(socket)] = (socket, mask)

    def modify(self, socket, mask):
        if id(socket) not in self._watched:
            raise OSError(ENOENT)
        self._watched[id(socket)] = (socket, mask)

    def unregister(self, socket):
        self._watched.pop(id(socket), None)

    def _mask(self, socket):
        return self._watched.get(id(socket), (socket, 0))[1]

    async def poll(self, ms=-1):
        """Return (socket, events) of each that has something; an empty list after `ms`, which are forever below 0."""
        began = ticks_ms()
        while True:
            ready = self._look()
            waited = ticks_diff(ticks_ms(), began)
            is_forever = ms is None or ms < 0
            if ready or (not is_forever and waited >= ms):
                return ready
            await self._env.sleep_ms(_LOOK_MS if is_forever else min(_LOOK_MS, ms - waited))

    async def ipoll(self, ms=-1, flags=0):
        """Return as `poll` does; with flags 1 a socket that had something is not waited for until it is modified."""
        ready = await self.poll(ms)
        if flags & 1:
            for socket, _ in ready:
                self.modify(socket, 0)
        return ready

    def _look(self):
        ready = []
        for socket, mask in self._watched.values():
            events = socket._events() & (mask | _ERR | _HUP)
            if events:
                ready.append((socket, events))
        return ready
