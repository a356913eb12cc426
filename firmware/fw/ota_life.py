"""The turns of an update's life: what a start finds, its end, the choice of the new slot. Functions of Updates.

Loaded when needed (ota.py).
"""

import asyncio

from micropython import const

# For calls under way, before the restart.
_QUIET_S = const(30)


def begin(up):
    """Look at this start: a trial, one that went back, or something to go on with."""
    record = up.record
    board = up.board
    if not record["said"]:
        # Says it, before what comes next.
        up.move("known", record.get("hash"))
    if up.todo in ("switch", "trial") and record["state"] != "staged":
        slots = up.slots()
        running = slots.running()
        marked = board.number("trial") == record["slot"] + 1
        # A cut before the mark.
        if running == record["slot"] and up.todo == "switch" and not marked:
            board.number("trial", record["slot"] + 1)
            marked = True
        is_back = running != record["slot"] and marked
        if is_back:
            slots.gave_up(up, record["slot"])
        up.move("booted", running, is_back, not marked, "unhealthy: " + up.link.reset_reason)
    else:
        up.move("booted", None, False, False, "")
    if up.todo != "trial" and board.number("trial"):
        board.number("trial", 0)
    up.go_on()


def cancel(up, version):
    up.move("cancelled", version)
    if not up.todo:
        up.stop()
        up.drop_payload()
    up.rest()


def welcome(up):
    """End a trial well: the host accepted this firmware."""
    up.news.set()
    if up.todo == "trial":
        record = up.record
        board = up.board
        if record["sv"] > board.number("sec"):
            board.number("sec", record["sv"])
        board.number("fails", 0)
        board.number("trial", 0)
        up.move("healthy", record["sv"])
    up.rest()


def give_up(up, error):
    if up.todo in ("download", "verify"):
        up.fail(error)
    else:
        # The new slot cannot be chosen: this one stays.
        up.move("booted", up.slots().running(), True, False, error)


def fail(up, error):
    # First: to say so takes room.
    up.drop_payload()
    up.move("downloading", None)
    up.move("failed", error)


async def switch(up):
    """Choose the new slot for the next start, and restart.

    `trial` is written last: it says that a slot was chosen. The state is `rebooting` already.
    """
    link = up.link
    record = up.record
    for _ in range(_QUIET_S):
        if not link._work:
            break
        await asyncio.sleep(1)
    up.board.number("fails", 0)
    up.board.number("slot", record["slot"])
    up.board.number("trial", record["slot"] + 1)
    if link.phase == "ready":
        try:
            await link._say("bye", {"reason": "an update", "retry_after_s": 0})
            await link.ws.close(1001, "an update")
        except OSError:
            # The host sees the connection end.
            pass
    up.board.restart()
