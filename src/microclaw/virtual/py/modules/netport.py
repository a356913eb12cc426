"""TCP of the virtual board as fw/net.py uses it: the board's network, by `net_*` of its driver. Sends nothing itself.

A handle is a number of the board's. The board says when there may be more to ask of one.
"""

import asyncio
from binascii import a2b_base64
from errno import EBADF

import _board

_PIECE = 512  # an answer of the board is short
_SENT_AT_ONCE = 2048
_CLIENT = ("192.168.1.50", 50000)
_news = {0: asyncio.Event()}  # by handle: set if there may be news of it; 0 is for names


def _on_news(event):
    if event[2] in _news:
        _news[event[2]].set()


_board.listen("net", 0, _on_news)


async def look_up(host):
    while True:
        address = _board.call("net_look_up", host)
        if address is not None:
            return address
        await ready(0, False)


def connect(address, port):
    return _opened(_board.call("net_connect", address, port))


def is_open(handle):
    return _board.call("net_is_open", handle)


def events(handle):
    return _board.call("net_events", handle)


def listen(port):
    return _opened(_board.call("net_listen", port))


def accept(handle):
    other = _board.call("net_accept", handle)
    if other is None:
        return None
    return _opened(other), _CLIENT


def send(handle, data):
    return _board.send("net_send", bytes(data[:_SENT_AT_ONCE]), handle)


def receive(handle, most):
    data = _board.call("net_receive", handle, min(most, _PIECE))
    if data is None:
        return None
    return a2b_base64(data)


async def ready(handle, _is_writing):
    """Wait for news since the last time: also for those that came before this was called."""
    news = _news.get(handle)
    if news is None:
        # It was closed since the caller looked at it.
        raise OSError(EBADF)
    await news.wait()
    news.clear()


def close(handle):
    _news.pop(handle).set()
    _board.call("net_close", handle)


def _opened(handle):
    _news[handle] = asyncio.Event()
    return handle
