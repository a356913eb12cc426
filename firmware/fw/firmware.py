"""Joins the parts: network, programs, link. Called by start.py; it returns only when the board restarts."""

import asyncio
import gc
import select
import sys

from micropython import const

VERSION = "0.1.0"
_HEALTHY_S = const(60)
_MAX_LINE_BYTES = const(1024)


async def run(folder, first):
    from board import Board
    from settings import Settings
    from wifi import Wifi

    settings = Settings(folder)
    board = Board(settings.get("board"))
    offer_s = settings.get("ap_after_s", 120) if settings.get("ap_key") else 0  # without a key nobody could come in
    wifi = Wifi(board.wlan(), settings.get("wifi", []), lambda: _offer(board, settings, wifi), offer_s)
    joining = asyncio.create_task(wifi.run())
    await asyncio.sleep(0)  # the radio is at work while the rest is read in
    from runner import NOT_KEPT, Runner

    # Programs first: they run at once, and what reads them in is gone before the link needs its memory.
    runner, early = Runner(board, folder + "apps"), []
    runner.emit = lambda *said: early.append(said)
    reason = board.reset_reason()
    await runner.boot()
    for name in NOT_KEPT:
        sys.modules.pop(name, None)
    gc.collect()
    await asyncio.sleep(0)  # reading in holds up programs and the watchdog's feeding
    from calls import Calls
    from link import Link

    calls = Calls(board, runner, VERSION, settings, wifi)
    link = Link(board, settings, calls, VERSION)
    link.measure = lambda: _measured(runner, wifi)
    link.on_welcome = lambda: _healthy(board)
    runner.emit = link.emit
    agent = _agent(board, settings, wifi, link, runner)
    listening = asyncio.create_task(_listen(lambda: _console(board, calls, settings, wifi, link, agent)))
    told = {"reason": reason}
    if runner.standing:
        told["not_started"] = runner.standing
    link.emit("event", {"name": "reboot", "data": told})
    for said in early:
        link.emit(*said)
    early.clear()
    first.clear()
    if agent is not None:
        agent.start()
    if settings.get("audio"):
        try:
            import audio

            audio.begin(link, board, settings.get("audio"))
        except ImportError:
            print("no audio: this board has no PSRAM, so flash left it out")
    if settings.get("wifi_trial", {}).get("state") == "trying":
        import networks

        networks.begin_trial(settings, wifi, link)
        del networks
    if settings.get("host"):
        connecting = asyncio.create_task(_connect(link, wifi, board, settings))
    await asyncio.sleep(_HEALTHY_S)
    _healthy(board)
    await asyncio.gather(joining, listening, *([connecting] if settings.get("host") else []))


async def _connect(link, wifi, board, settings):
    import calendar

    await wifi.up.wait()
    if not calendar.is_set():
        import ntp

        sys.modules.pop("ntp")
        await ntp.set_clock(settings, board)
        del ntp
    await link.run(wifi.up)


async def _offer(*parts):
    """Our own access point with its page, read in for as long as it is open. A defect in it stops nothing else."""
    try:
        import portal

        sys.modules.pop("portal")
        await portal.serve(*parts)
    except Exception as exc:
        sys.print_exception(exc)
    gc.collect()


def _agent(*parts):
    """The agent of boards with PSRAM; None elsewhere, where it is not installed. A defect in it stops nothing else."""
    try:
        from agent.life import Agent

        return Agent(*parts)
    except ImportError as exc:
        if "'agent'" not in str(exc) and "'agent.life'" not in str(exc):  # else it is simply not installed
            sys.print_exception(exc)
    except Exception as exc:
        sys.print_exception(exc)


def _console(*parts):
    from console import Console

    sys.modules.pop("console")
    return Console(*parts)


async def _listen(make):
    """Answers on the cable. `make` gives the console, whose memory is given back between lines."""
    cable, poller, line = sys.stdin.buffer, select.poll(), bytearray()
    poller.register(sys.stdin, select.POLLIN)
    while True:
        if not poller.poll(0):
            await asyncio.sleep_ms(20)  # the port's own buffer holds what comes meanwhile
            continue
        byte = cable.read(1)
        if not byte:
            return  # the unix port's input has ended
        if byte not in (b"\n", b"\r"):
            if len(line) <= _MAX_LINE_BYTES:
                line.extend(byte)
            continue
        if len(line) > _MAX_LINE_BYTES:
            print('{"status":"error","msg":"JSON parse error: line longer than 1024 bytes"}')
        elif line:
            try:
                print(_shown(make().answer(str(line, "utf-8"))))
            except Exception as exc:  # a defect must not take the cable away
                sys.print_exception(exc)
        line = bytearray()
        await asyncio.sleep_ms(0)  # what the line began goes first, and programs do between pasted lines


def _shown(text):
    """It has names of networks, and what people said."""
    import shown

    sys.modules.pop("shown")
    return shown.shown(text, b"\n")


def _measured(runner, wifi):
    """The parts of telemetry that the link does not know."""
    body = {"apps": runner.states()}
    rssi = wifi.rssi()
    if rssi is not None:
        body["rssi"] = rssi
    return body


def _healthy(board):
    """This folder of our files works: main.py need not go back to the other."""
    if board.number("fails"):
        board.number("fails", 0)
