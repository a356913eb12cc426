"""Joins the parts: network, programs, link. Read in for the start, and given back: nothing in here may outlive it."""

import asyncio
import json
import sys

from binding import bound, once

from firmware import connect, console, healthy, listen, measured, offer, resume

# Used if about.json beside this file has no version.
VERSION = "0.1.0"
# States of ota_plan.py.
_UNDER_WAY = ("offered", "downloading", "verifying", "staged", "rebooting", "trial")


async def begin(folder, first):
    """Set up the board and the tasks that run forever; `first` is emptied when our modules are in memory."""
    from board import Board
    from settings import Settings
    from wifi import Wifi

    settings = Settings(folder)
    board = Board(settings.get("board"))
    board.settings = settings
    # Without a key no person could use the access point.
    offer_s = settings.get("ap_after_s", 120) if settings.get("ap_key") else 0
    wifi = Wifi(board.wlan(), settings.get("wifi", []), None, offer_s)
    wifi.offer = bound(offer, board, settings, wifi)
    joining = asyncio.create_task(wifi.run())
    # The radio works while the rest is loaded.
    await asyncio.sleep(0)
    from runner import Runner

    # Programs first: they run at once, and the code that loads them is dropped before the link needs its memory.
    runner = Runner(board, folder + "apps")
    early = []
    runner.emit = lambda *message: early.append(message)
    reason = board.reset_reason()
    await runner.boot()
    runner.make_room()
    # Loading code holds up programs and the feeding of the watchdog.
    await asyncio.sleep(0)
    from calls import Calls
    from link import Link

    version = _version()
    calls = Calls(board, runner, version, settings, wifi)
    link = Link(board, settings, calls, version)
    link.measure = bound(measured, runner, wifi)
    link.on_welcome = bound(healthy, board)
    runner.emit = link.emit
    runner.link = link
    tasks = [joining, asyncio.create_task(listen(bound(console, board, calls, settings, wifi, link)))]
    _go_on_with_update(board, settings, link)
    if runner.paused:
        tasks.append(asyncio.create_task(resume(link)))
    _report_start(board, runner, link, reason)
    for message in early:
        link.emit(*message)
    early.clear()
    first.clear()
    runner.make_room()
    await runner.settle()
    audio_pins = settings.get("audio")
    if audio_pins:
        _begin_audio(link, board, audio_pins)
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


def _report_start(board, runner, link, reason):
    """Send the event of this start: why it happened, and why no program was started."""
    data = {"reason": reason}
    if board.number("why"):
        data["again"] = board.number("again")
        board.number("why", 0)
    if runner.standing:
        data["not_started"] = runner.standing
    link.emit("event", {"name": "reboot", "data": data})


def _begin_audio(link, board, pins):
    try:
        import audio

        audio.begin(link, board, pins)
    except ImportError:
        print("no audio: this board has no PSRAM, so flash left it out")


def _go_on_with_update(board, settings, link):
    """Continue an update that is not over, or whose end was not reported; a defect in it stops nothing else."""
    try:
        record = once("storage").read_sealed(settings.path("ota/state"))
        if not record:
            return
        if record["state"] in _UNDER_WAY or not record["said"] or board.number("trial"):
            link.updates().begin()
    except Exception as exc:
        sys.print_exception(exc)
