"""Runs as long as the board is on, beside programs and link. Called by start.py; startup.py joins the parts."""

import asyncio
import gc
import select
import sys
import time

from binding import once
from micropython import const

_HEALTHY_S = const(60)
_TRIAL_S = const(600)
LOOK_S = 10
# If the board itself keeps the link down for this time, it restarts.
BACK_MS = 60_000
_MAX_LINE_BYTES = const(1024)


async def stay(board, tasks):
    """Run forever: report health after a minute, and judge a trial after ten."""
    await asyncio.sleep(_HEALTHY_S)
    healthy(board)
    await asyncio.sleep(_TRIAL_S - _HEALTHY_S)
    # An update without a welcome: main.py counts this start as failed.
    if board.number("trial"):
        board.reset()
    if board.number("grew"):
        board.number("grew", 0)
    await asyncio.gather(*tasks)


async def connect(link, wifi, board, settings):
    import calendar

    await wifi.up.wait()
    if not calendar.is_set():
        await once("ntp").set_clock(settings, board)
    link.well_ms = time.ticks_ms()
    asyncio.create_task(link.run(wifi.up))
    while True:
        await asyncio.sleep(LOOK_S)
        if not wifi.up.is_set() and board.link_short() is None:
            link.well_ms = time.ticks_ms()
        elif time.ticks_diff(time.ticks_ms(), link.well_ms) > BACK_MS:
            board.come_back(link.well_ms, BACK_MS)


async def resume(link):
    """Start the programs that were held back for an update, if none has come; else the update starts them."""
    await asyncio.sleep(_HEALTHY_S)
    if link.ota is None:
        await link._calls.runner.resume()


async def offer(*parts):
    """Serve our own access point with its page; its code is loaded only while it is open.

    A defect in it stops nothing else.
    """
    try:
        await once("portal").serve(*parts)
    except Exception as exc:
        sys.print_exception(exc)
    gc.collect()


def console(*parts):
    return once("console").Console(*parts)


async def listen(make):
    """Answer on the cable; `make` returns the console, whose memory is free between lines."""
    cable = sys.stdin.buffer
    poller = select.poll()
    line = bytearray()
    poller.register(sys.stdin, select.POLLIN)
    while True:
        if not poller.poll(0):
            # The port's own buffer holds the bytes that arrive meanwhile.
            await asyncio.sleep_ms(20)
            continue
        byte = cable.read(1)
        if not byte:
            # The unix port's input has ended.
            return
        if byte not in (b"\n", b"\r"):
            if len(line) <= _MAX_LINE_BYTES:
                line.extend(byte)
            continue
        if len(line) > _MAX_LINE_BYTES:
            print('{"status":"error","msg":"JSON parse error: line longer than 1024 bytes"}')
        elif line:
            try:
                answer = make().answer(str(line, "utf-8"))
                # It has names of networks and texts of people.
                print(once("shown").shown(answer, b"\n"))
            except Exception as exc:
                # A defect must not take the cable away.
                sys.print_exception(exc)
        line = bytearray()
        # Tasks that the line began run first, and programs run between pasted lines.
        await asyncio.sleep_ms(0)


def measured(runner, wifi):
    """Return the parts of telemetry that the link does not know."""
    rssi = wifi.rssi()
    if rssi is None:
        return {"apps": runner.states()}
    return {"apps": runner.states(), "rssi": rssi}


def healthy(board):
    """Mark this folder of our files as working, so that main.py need not go back to the other.

    On trial, only a welcome does this.
    """
    if board.number("fails") and not board.number("trial"):
        board.number("fails", 0)
