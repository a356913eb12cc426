"""TCP of the chip as net.py uses it: sockets that never wait. Knows no program and no permission.

A handle is the socket itself. The virtual board has a file of this name of its own.
"""

import asyncio
import select
import socket
from errno import EAGAIN, ECONNREFUSED, EINPROGRESS

from binding import once
from micropython import const

_BACKLOG = const(5)
# One for all looks, which are every 20 ms: it has one socket at a time.
_poller = select.poll()


async def look_up(host):
    """Return the IPv4 address of a name; OSError if there is none."""
    return await once("dial").address_of(host)


def connect(address, port):
    """Begin to connect; return the handle."""
    handle = socket.socket()
    handle.setblocking(False)
    try:
        handle.connect(_place(address, port))
    except OSError as exc:
        if exc.errno != EINPROGRESS:
            handle.close()
            raise
    return handle


def is_open(handle):
    """Return True once the peer has accepted, False before; OSError if it refused."""
    bits = events(handle)
    if bits & (select.POLLERR | select.POLLHUP):
        # It raises what went wrong.
        handle.recv(1)
        raise OSError(ECONNREFUSED)
    return bits & select.POLLOUT != 0


def events(handle):
    """Return what can be done now, as bits of the module select: POLLIN, POLLOUT, POLLERR, POLLHUP."""
    # A chip tells of an error or a hang-up only if it is asked, unlike the unix port.
    _poller.register(handle, select.POLLIN | select.POLLOUT | select.POLLERR | select.POLLHUP)
    bits = 0
    for _, bits in _poller.ipoll(0):
        pass
    _poller.unregister(handle)
    return bits


def listen(port):
    handle = socket.socket()
    try:
        # Beside the page of the board's own access point, which has an address of its own.
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        handle.bind(_place("0.0.0.0", port))
        handle.listen(_BACKLOG)
        handle.setblocking(False)
    except OSError:
        handle.close()
        raise
    return handle


def accept(handle):
    """Return the handle of the next connection and its peer's address and port, or None."""
    try:
        other, peer = handle.accept()
    except OSError as exc:
        if exc.errno == EAGAIN:
            return None
        raise
    other.setblocking(False)
    if isinstance(peer, tuple):
        return other, peer
    # The unix port's is packed.
    return other, (_text(socket.sockaddr(peer)[1]), socket.sockaddr(peer)[2])


def send(handle, data):
    """Return how many bytes were taken, or None if there is no room yet."""
    try:
        return handle.send(data)
    except OSError as exc:
        if exc.errno == EAGAIN:
            return None
        raise


def receive(handle, most):
    """Return what has come, b"" after the peer has closed, or None if nothing has come yet."""
    try:
        return handle.recv(most)
    except OSError as exc:
        if exc.errno == EAGAIN:
            return None
        raise


async def ready(handle, is_writing):
    """Wait until `handle` may have more to say, in asyncio's own queue."""
    await _queued(handle, is_writing)


def close(handle):
    """Close; tasks that wait for it go on, and find it closed."""
    core = asyncio.core
    waiting = core._io_queue.map.get(id(handle))
    if waiting is not None:
        core._io_queue._dequeue(handle)
        for task in waiting[:-1]:
            if task is not None:
                core._task_queue.push(task)
    handle.close()


def _queued(handle, is_writing):
    queue = asyncio.core._io_queue
    if is_writing:
        yield queue.queue_write(handle)
    else:
        yield queue.queue_read(handle)


def _place(address, port):
    return socket.getaddrinfo(address, port)[0][-1]


def _text(packed):
    return ".".join([str(part) for part in packed])
