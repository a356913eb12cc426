"""Speaks to the simulated board. In the virtual board's VM through host.call; on the unix port by JSON lines over TCP.

On the unix port MICROCLAW_BOARD is HOST:PORT of tests/virtual/py/bench.py. An answer is [value, error, pending]:
error is [class, arguments...]; pending says that events wait, which `poll` then fetches.
"""

import json

try:
    import host
except ImportError:
    host = None

_handlers = {}
_busy = False
_calls = None


def call(name, *args):
    """Have the board do something; raises what the board's driver would raise."""
    text = json.dumps(args)
    value, error, pending = json.loads(host.call(name, text) if host else _ask(name, text))
    if error:
        raise _error(error)
    if pending:
        poll()
    return value


def listen(kind, number, handler):
    """Call handler(event) for events [kind, number, ...]; None: no more."""
    if handler is None:
        _handlers.pop((kind, number), None)
        return
    _handlers[kind, number] = handler
    if not host:
        _hear()


def poll():
    """Handle the events that wait, as the interpreter does between two bytecodes. Not from within a handler."""
    global _busy
    if _busy or not host:
        return
    _busy = True
    try:
        pending = True
        while pending:
            events, _, pending = json.loads(host.call("events", "[]"))
            for event in events:
                dispatch(event)
    finally:
        _busy = False


def wait(ms):
    """The event loop has nothing to do for `ms`, -1 for ever. Inside the virtual board only."""
    if json.loads(host.call("wait", "[%d]" % ms))[2]:
        poll()


def dispatch(event):
    """Give an event to its handler; an exception there is printed, as of every scheduled function."""
    handler = _handlers.get((event[0], event[1]))
    if handler:
        try:
            handler(event)
        except Exception as exc:
            import sys

            sys.print_exception(exc)


def _error(error):
    kind, args = error[0], error[1:]
    return {"OSError": OSError, "ValueError": ValueError, "TypeError": TypeError}.get(kind, RuntimeError)(*args)


def _ask(name, text):
    global _calls
    if _calls is None:
        _calls = _open("calls")
    _calls.write('["%s",%s]\n' % (name, text))
    line = _calls.readline()
    if not line:
        raise OSError(19, "the simulated board is gone")
    return line


def _open(what):
    import os
    import socket

    place, _, port = os.getenv("MICROCLAW_BOARD").rpartition(":")
    sock = socket.socket()
    sock.connect(socket.getaddrinfo(place, int(port))[0][-1])
    sock.write('["%s"]\n' % what)
    return sock


_hearing = None


def _hear():
    global _hearing
    if _hearing is None:
        import asyncio

        _hearing = asyncio.create_task(_events())


async def _events():
    import asyncio

    reader = asyncio.StreamReader(_open("events"))
    while True:
        line = await reader.readline()
        if not line:
            return
        dispatch(json.loads(line))
