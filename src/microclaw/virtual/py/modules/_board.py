"""Speaks to the simulated board through host.call, which the virtual board's MicroPython has built in.

An answer is [value, error, pending]: error is [class, arguments...]; pending says that events wait, which are then
fetched: interrupts after any call (`poll`), calls of the runner only while the event loop waits (`wait`).
"""

import json

from micropython import mem_total

import host

_handlers = {}
_busy = False
rubbish = 0  # bytes that calls of the board took, which no chip's drivers take


def call(name, *args):
    """Have the board do something; raises what the board's driver would raise."""
    before = mem_total()
    return _value(host.call(name, json.dumps(args)), before)


def send(name, data, *args):
    """As `call`, with bytes after the arguments: to write them as text would take a program's time."""
    before = mem_total()
    return _value(host.call(name, json.dumps(args).encode() + b"\n" + data), before)


def _value(answer, before):
    """Return the value of an answer; `before` is mem_total() before the call."""
    global rubbish
    value, error, pending = json.loads(answer)
    rubbish += mem_total() - before
    if error:
        raise _error(error)
    if pending:
        poll()
    return value


def listen(kind, number, handler):
    """Call handler(event) for events [kind, number, ...]; None: no more."""
    if handler is None:
        _handlers.pop((kind, number), None)
    else:
        _handlers[kind, number] = handler


def absent(module, names):
    """Return the __getattr__ of a module: of `names`, which the image has and this board has not, the trial is told."""

    def get(name):
        if name in names.split():
            call("absent", module + "." + name)
        raise AttributeError("module '%s' has no attribute '%s'" % (module, name))

    return get


def poll():
    """Handle the interrupts that wait, as the interpreter does between two bytecodes. Not from within a handler."""
    global _busy
    if _busy:
        return
    _busy = True
    try:
        _fetch("interrupts")
    finally:
        _busy = False


def _fetch(queue):
    """Handle all that waits: "interrupts" or "calls"."""
    pending = True
    while pending:
        events, _, pending = json.loads(host.call(queue, "[]"))
        for event in events:
            dispatch(event)


def wait(ms):
    """The event loop has nothing to do for `ms`, -1 forever."""
    if json.loads(host.call("wait", "[%d]" % ms))[2]:
        poll()
        _fetch("calls")


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
    kind = error[0]
    args = error[1:]
    return {"OSError": OSError, "ValueError": ValueError, "TypeError": TypeError}.get(kind, RuntimeError)(*args)
