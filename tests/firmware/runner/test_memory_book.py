"""The memory of a board without PSRAM: who is refused, ended and started again, when it is short."""

from __future__ import annotations

import pytest
from tests.firmware.runner.conftest import MicroPython

IDLE = """
async def main(E):
    machine = E.module("machine")
    machine.Pin(4, machine.Pin.OUT)
    while True:
        await E.y()
        await E.sleep_ms(20)
"""
HOLDING = """
async def main(E):
    global kept
    kept = [bytearray(1000) for _ in range(40)]
    while True:
        await E.y()
        await E.sleep_ms(20)
"""
# It reads in `modules`, computes for longer than a start is watched, and reads in more.
SLOW = """
async def main(E):
    global kept
    time = E.module("time")
    E.module("random")
    until = time.ticks_add(time.ticks_ms(), 1_000)
    while time.ticks_diff(until, time.ticks_ms()) > 0:
        pass
    await E.y()
    E.input(E.module("machine").Pin(4), 4)
    await E.sleep_ms(50)
    kept = [bytearray(1000) for _ in range(40)]
    while True:
        await E.y()
        await E.sleep_ms(20)
"""
COUNTING = """
async def main(E):
    E.print("begins")
    while True:
        await E.y()
        await E.sleep_ms(20)
"""


@pytest.mark.parametrize("source", [HOLDING, SLOW])
def test_a_program_that_leaves_calls_no_room_is_taken_off_again_and_the_one_before_runs(
    micropython: MicroPython, source: str
) -> None:
    micropython.compile("idle", IDLE)
    micropython.compile("big", source)
    code, state, size, crashes = micropython.act(
        """
        await install(runner, "idle", heap=40_960)
        runner.board.is_small = True
        runner.make_room()
        runner.board.reserve = runner.board.own_free() - 20_000
        code = await refused_async(install(runner, "idle", "big", heap=60_000))
        runner.board.is_small = False
        return [code, row(runner, "idle")["state"], row(runner, "idle")["size"] == len(image("idle")), events("app.crash")]
    """,
        heap=100_000,
    )
    assert (code, state, size, crashes) == ("too_large", "running", True, [])


def test_a_program_that_starts_again_after_a_crash_and_leaves_calls_no_room_waits_for_room(
    micropython: MicroPython,
) -> None:
    micropython.compile("big", HOLDING)
    state, error, ends = micropython.act(
        """
        await install(runner, "big", heap=60_000)
        runner.make_room()
        runner.board.reserve = runner.board.own_free() + 20_000
        runner.board.is_small = True
        await runner._ended(runner._programs["big"], "trapped")
        await until(lambda: events("app.exit"))
        runner.board.is_small = False
        return [row(runner, "big")["state"], row(runner, "big")["error"], [e["data"]["kind"] for e in events("app.exit")]]
    """,
        heap=100_000,
    )
    assert (state, ends) == ("waiting", ["memory"])
    assert "calls had no room beside it" in error


@pytest.mark.parametrize(("missing", "code"), [(64, "failed"), (-64, "invalid_module")])
def test_a_program_without_room_is_refused_before_it_is_read_in(
    micropython: MicroPython, missing: int, code: str
) -> None:
    size = micropython.compile("raising", "raise ValueError('it is read in')\n" + IDLE).stat().st_size
    answer = micropython.act(f"""
        from loading import LEFT_BYTES
        # As on a chip whose heap would grow for more.
        runner.board.own_free = lambda: LEFT_BYTES + {size} + {size} // 4 - {missing}
        return [await refused_async(install(runner, "raising")), runner.slots.names()]
    """)
    assert answer == [code, []]


def test_a_program_that_ended_for_the_boards_memory_is_no_crash_and_runs_again_when_there_is_room(
    micropython: MicroPython,
) -> None:
    micropython.compile("counting", COUNTING)
    waiting, ends, begins, autostart, state = micropython.act("""
        import runner as runners
        runners.ROOM_S = 0.1
        await install(runner, "counting")
        runner.board.is_small = True
        runner.board.memory_floor = 1 << 30
        await until(lambda: events("app.exit"))
        waiting = row(runner, "counting")
        runner.board.memory_floor = 0
        runner.board.reserve = 0
        await until(lambda: lines().count("begins") == 2)
        now = row(runner, "counting")
        return [waiting, events(), lines().count("begins"), now["autostart"], now["state"]]
    """)
    assert waiting["state"] == "waiting"
    assert "it starts again when there is room" in waiting["error"]
    assert ends == [{"name": "app.exit", "data": {"app": "counting", "kind": "memory"}}]
    assert (begins, autostart, state) == (2, True, "running")


def test_a_heap_that_grew_restarts_the_board_four_times_at_most_each_time_with_fewer_programs(
    micropython: MicroPython,
) -> None:
    micropython.compile("idle", IDLE)
    starts = micropython.with_room().run("""
        import esp32
        import growth
        async def main():
            runner = new_runner()
            await install(runner, "old", "idle")
            await install(runner, "new", "idle", heap=0)
            starts = []
            for _ in range(5):
                await runner.close()
                told.clear()
                esp32._handles = 0
                runner = new_runner()
                await runner.boot()
                runner.board.number("why", 0)
                states = [row(runner, name)["state"] for name in ("old", "new")]
                now_ms = runner.board.now_ms
                runner.board.now_ms = lambda: now_ms() + 20_000
                runner.board.is_small = True
                runner.board._total -= 20_000  # as if the heap had grown
                try:
                    growth.give_back(runner)
                except SystemExit:
                    runner.board.is_small = False
                starts.append([states, events("heap.grew")[0]["data"]["restarts"], runner.board.number("grew")])
            return starts
        run(main)
    """)
    assert starts == [
        [["running", "running"], True, 1],
        [["running", "running"], True, 2],
        [["running", "stopped"], True, 3],
        [["stopped", "stopped"], True, 4],
        [["stopped", "stopped"], False, 4],
    ]


def test_a_start_for_another_reason_ends_the_row_and_holds_no_program(micropython: MicroPython) -> None:
    micropython.compile("idle", IDLE)
    states = micropython.act("""
        await install(runner, "idle")
        await runner.close()
        states = []
        for why in (1, 0, 1):
            runner.board.number("why", why)
            if not states:
                runner.board.number("grew", 2)
            await runner.boot()
            states.append([row(runner, "idle")["state"], runner.board.number("grew")])
            await runner.close()
        return states
    """)
    assert states == [["stopped", 2], ["running", 0], ["running", 0]]


def test_a_program_that_makes_the_heap_grow_as_it_begins_is_ended_and_the_board_goes_on(
    micropython: MicroPython,
) -> None:
    micropython.compile("idle", IDLE)
    states, ends, grown = micropython.act("""
        await install(runner, "old", "idle")
        await install(runner, "new", "idle", heap=0)
        runner._programs["old"].started_ms -= 20_000
        runner.board.reserve = 1 << 30
        runner.board.is_small = True
        runner.board._total -= 20_000  # as if the heap had grown
        await until(lambda: events("app.exit"))
        runner.board.take_size()
        return [[row(runner, name)["state"] for name in ("old", "new")], events("app.exit"), events("heap.grew")]
    """)
    assert states == ["running", "waiting"]
    assert [end["data"] for end in ends] == [{"app": "new", "kind": "memory"}]
    assert grown == []


def test_a_program_that_cannot_be_read_in_now_is_tried_again_later(micropython: MicroPython) -> None:
    micropython.compile("failing", "async def main(E):\n    E.print('begins')\n    raise ValueError('x')\n")
    states = micropython.act("""
        import runner as runners
        runners.ROOM_S = 0.1
        await install(runner, "failing")
        await until(lambda: events("app.crash"))
        runner.slots.damaged["failing"] = "for now"
        await until(lambda: runner.list()[0]["state"] == "waiting")
        del runner.slots.damaged["failing"]
        runner.board.reserve = 0
        await until(lambda: lines().count("begins") == 2)
        return [event["data"].get("kind") for event in events("app.exit")]
    """)
    assert states == ["memory"]


@pytest.mark.parametrize("count", [0, 1])
def test_what_programs_read_in_is_given_back_once_none_runs(micropython: MicroPython, count: int) -> None:
    micropython.compile("input", IDLE.replace("Pin.OUT", "Pin.IN"))
    micropython.compile("idle", IDLE.replace("4", "5"))
    is_there = micropython.act(f"""
        for name in ["idle"][:{count}]:
            await install(runner, name)
        await install(runner, "input")
        await until(lambda: "inputs" in sys.modules)
        await runner.remove("input")
        runner.make_room()
        return "inputs" in sys.modules
    """)
    assert is_there == bool(count)
