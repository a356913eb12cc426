"""Joins the parts: network, programs, link. Read in for the start, and given back: nothing in here may outlive it."""

import asyncio
import json
import sys

from binding import bound, once

from firmware import connect, console, healthy, listen, measured, offer, resume

VERSION = "0.1.0"  # where about.json beside this file says no other
_UNDER_WAY = ("offered", "downloading", "verifying", "staged", "rebooting", "trial")  # of ota_plan.py


async def begin(folder, first):
    """Set up the board and the tasks that run forever; `first` is emptied when our modules are in memory."""
    from board import Board
    from settings import Settings
    from wifi import Wifi

    settings = Settings(folder)
    board = Board(settings.get("board"))
    offer_s = settings.get("ap_after_s", 120) if settings.get("ap_key") else 0  # without a key nobody could come in
    wifi = Wifi(board.wlan(), settings.get("wifi", []), None, offer_s)
    wifi.offer = bound(offer, board, settings, wifi)
    joining = asyncio.create_task(wifi.run())
    await asyncio.sleep(0)  # the radio is at work while the rest is read in
    from runner import Runner

    # Programs first: they run at once, and what reads them in is gone before the link needs its memory.
    runner = Runner(board, folder + "apps")
    early = []
    runner.emit = lambda *said: early.append(said)
    reason = board.reset_reason()
    await runner.boot()
    runner.make_room()
    await asyncio.sleep(0)  # reading in holds up programs and the watchdog's feeding
    from calls import Calls
    from link import Link

    version = _version()
    calls = Calls(board, runner, version, settings, wifi)
    link = Link(board, settings, calls, version)
    link.measure = bound(measured, runner, wifi)
    link.on_welcome = bound(healthy, board)
    runner.emit = link.emit
    tasks = [joining, asyncio.create_task(listen(bound(console, board, calls, settings, wifi, link)))]
    _go_on_with_update(board, settings, link)
    if runner.paused:
        tasks.append(asyncio.create_task(resume(link)))
    told = {"reason": reason}
    if board.number("why"):
        told["again"] = board.number("again")
        board.number("why", 0)
    if runner.standing:
        told["not_started"] = runner.standing
    link.emit("event", {"name": "reboot", "data": told})
    for said in early:
        link.emit(*said)
    early.clear()
    first.clear()
    runner.make_room()
    await runner.settle()
    if settings.get("audio"):
        try:
            import audio

            audio.begin(link, board, settings.get("audio"))
        except ImportError:
            print("no audio: this board has no PSRAM, so flash left it out")
    if settings.get("wifi_trial", {}).get("state") == "trying":
        once("networks").begin_trial(settings, wifi, link)
    if settings.get("host"):
        tasks.append(asyncio.create_task(connect(link, wifi, board, settings)))
    return board, tasks


def _version():
    try:
        with open(__file__.rpartition("/")[0] + "/about.json") as file:
            return json.load(file)["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return VERSION


def _go_on_with_update(board, settings, link):
    """One that is not over, or that the host was not told the end of. A defect in it stops nothing else."""
    try:
        record = once("storage").read_sealed(settings.path("ota/state"))
        if record and (record["state"] in _UNDER_WAY or not record["said"] or board.number("trial")):
            link.updates().begin()
    except Exception as exc:
        sys.print_exception(exc)
