"""Joins the parts: network, programs, link. Read in for the start, and given back: nothing in here may outlive it."""

import asyncio
import gc
import json
import sys

from binding import bound

from firmware import connect, console, healthy, listen, measured, offer, resume

VERSION = "0.1.0"  # where about.json beside this file says no other
_UNDER_WAY = ("offered", "downloading", "verifying", "staged", "rebooting", "trial")  # of ota_plan.py


async def begin(folder, first):
    """The board, and the tasks that run for ever."""
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

    files, version = _versions(settings)
    calls = Calls(board, runner, version, settings, wifi)
    link = Link(board, settings, calls, version)
    link.files_version = files
    link.measure = bound(measured, runner, wifi)
    link.on_welcome = bound(healthy, board)
    runner.emit = link.emit
    agent = _agent(board, settings, wifi, link, runner)
    tasks = [joining, asyncio.create_task(listen(bound(console, board, calls, settings, wifi, link, agent)))]
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
        tasks.append(asyncio.create_task(connect(link, wifi, board, settings)))
    return board, tasks


def _versions(settings):
    """Of our files, and of the firmware: that of the whole image, if one was taken after the files were."""
    files = VERSION
    try:
        with open(__file__.rpartition("/")[0] + "/about.json") as file:
            files = json.load(file)["version"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    version = files
    try:
        with open(settings.path("ota/images")):
            import slots_image

        version = slots_image.version(settings.path(""), files)
        for name in ("slots_image", "storage"):
            sys.modules.pop(name)
    except Exception as exc:  # mostly there is no such file
        if not isinstance(exc, OSError):
            sys.print_exception(exc)
    return files, version


def _go_on_with_update(board, settings, link):
    """One that is not over, or that the host was not told the end of. A defect in it stops nothing else."""
    import storage

    try:
        record = storage.read_sealed(settings.path("ota/state"))
        if record and (record["state"] in _UNDER_WAY or not record["said"] or board.number("trial")):
            link.updates().begin()
    except Exception as exc:
        sys.print_exception(exc)
    sys.modules.pop("storage", None)


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
