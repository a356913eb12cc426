"""What follows a shortage of memory, read in for that.

A program waits for room, or the board gives memory back or restarts: MicroPython's heap has grown into that of Wi-Fi.
"""

import asyncio

from runner import ROOM_S

MOST_GROWN = 4
YOUNG_MS = 10_000
# After a run of this length, earlier shortages do not count.
LONG_MS = 60_000
MOST_DOUBLED = 5


def give_back(runner):
    """Give the new part of MicroPython's heap back if it is empty, or restart at once.

    The link cannot work beside a grown heap. `grew` in NVS counts such restarts in a row; after MOST_GROWN the board
    continues as it is.
    """
    board = runner.board
    idf_free = board.idf_free()
    runner.make_room()
    young = [program for program in runner._programs.values() if _is_young(board, program)]
    # Most of the memory that a young program took is freed with it.
    if young and board.has_grown():
        newest = max(young, key=lambda program: program.started_ms)
        newest.error = "it takes more than there is"
        asyncio.create_task(runner._ended(newest, "squeezed"))
        return
    restarts = board.has_grown() and board.number("grew") < MOST_GROWN
    board.take_size()
    if restarts or runner.events:
        runner.events = max(0, runner.events - 1)
        data = {"after": runner.doing, "used": board.mem_alloc(), "idf_free": idf_free, "restarts": restarts}
        runner.emit("event", {"name": "heap.grew", "data": data})
    if restarts:
        board.number("why", 1)
        board.number("grew", board.number("grew") + 1)
        board.restart()


def squeeze(runner, program):
    """Start a program again when there is room: it was ended for the board's memory, which is not its own crash."""
    if runner.board.now_ms() - program.started_ms >= LONG_MS:
        program.squeezes = 0
    wait_s = ROOM_S * (1 << min(program.squeezes, MOST_DOUBLED))
    program.squeezes += 1
    program.state = "waiting"
    program.error = "the board's memory was short (%s): it starts again when there is room" % program.error
    runner._event("app.exit", {"app": program.name, "kind": "memory"})
    program.restart = asyncio.create_task(runner._again(program, 500 << program.crashes, wait_s))


def _is_young(board, program):
    return program.env is not None and board.now_ms() - program.started_ms < YOUNG_MS
