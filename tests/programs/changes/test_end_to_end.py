"""Programs in C side by side on a virtual board, a process of its own, over its real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.programs.conftest import Bench, opened_bench

from microclaw.devices.registry.calls import PwmSet
from microclaw.errors import DeployRejected, PinClaimed, TooManyApps
from microclaw.host.store.crashes import CrashTable
from microclaw.programs.changes.trapped_programs import LINES_APART_S
from microclaw.wire.board_control import Info, SetInput


def blink_source(pin: int = 2, half_period_ms: int = 200) -> str:
    return f"""
    #include "microclaw.h"
    static int led;
    static void toggle(void) {{ gpio_toggle(led); }}
    void on_init(void) {{ led = gpio_open({pin}, GPIO_OUT); gpio_set(led, 1); every({half_period_ms}, toggle); }}
    """


async def edges_seen(bench: Bench, pin: int, count: int) -> list[float]:
    """Times of the next `count` edges on a pin, as the board counts them."""
    cursor = (await bench.board.control.edges()).cursor
    seen: list[float] = []
    async with asyncio.timeout(60):
        while len(seen) < count:
            seen = [edge.t_ms for edge in (await bench.board.control.edges(cursor)).edges if edge.pin == pin]
    return seen[:count]


async def test_a_level_that_a_former_program_left_is_no_edge_of_the_next(bench: Bench) -> None:
    source = """
    #include "microclaw.h"
    int main(void) { int led = gpio_open(13, GPIO_OUT); for (;;) { gpio_toggle(led); delay(200); } }
    """
    await bench.set_pin(13)  # what opening the pin brings back
    done = await bench.deploy("toggles", source)
    assert (done.verified, done.evidence.kind) == (True, "counted")
    await bench.act("uninstall", "toggles")
    for _ in range(3):
        done = await bench.deploy("toggles", source)
        assert done.verified, done.evidence.text


async def test_three_apps_run_a_fourth_is_refused_and_removed_ones_stand_still(bench: Bench) -> None:
    pins = {"one": 4, "two": 5, "three": 6}
    for name, pin in pins.items():
        assert (await bench.deploy(name, blink_source(pin))).evidence.kind == "counted"
    with pytest.raises(TooManyApps):
        await bench.deploy("four", blink_source(7))
    assert await bench.names() == ["one", "three", "two"]
    for pin in pins.values():  # all three go on, side by side
        await edges_seen(bench, pin, 2)
    for name in pins:
        await bench.act("uninstall", name)
    removed_ms = (await bench.board.control.request(Info())).now_ms
    await bench.deploy("four", blink_source(7))
    await edges_seen(bench, 7, 4)  # longer than the others' period
    moved = {edge.pin for edge in (await bench.board.control.edges()).edges if edge.t_ms > removed_ms}
    assert moved == {7}


async def test_a_crash_on_a_board_that_tells_only_lines_is_no_evidence_for_the_program(
    tmp_path: Path, build_cache: Path
) -> None:
    """The trial's firmware has usleep, the board's has none: an exception ends the program there."""
    source = """
    #include <unistd.h>
    #include "microclaw.h"
    int main(void) { %s usleep(20); puts("%s"); for (;;) delay(100); }
    """
    async with opened_bench(tmp_path, build_cache, "plain") as bench:
        with pytest.raises(DeployRejected, match="ended by the exception above"):
            await bench.deploy("late", source % ('puts("began"); delay(100);', "goes on"), pin=None)
        assert await bench.names() == []
        done = await bench.deploy("early", source % ("", "began"), pin=None)  # its on_init never came to an end
        assert (done.verified, done.evidence.kind) == (False, "reported")


@pytest.mark.parametrize("firmware", [(), ("attributes=new",)])
async def test_a_main_that_traps_later_is_shown_and_stored_once(
    tmp_path: Path, build_cache: Path, firmware: tuple[str, ...]
) -> None:
    """With words about its firmware the board has only the stock way in: a list, and the lines of the program."""
    source = """
    #include <stdio.h>
    #include "microclaw.h"
    int main(void) {
        int led = gpio_open(5, GPIO_OUT);
        int button = gpio_open(4, GPIO_IN);
        puts("began");
        for (;;) {
            gpio_toggle(led);
            if (gpio_get(button)) __builtin_trap();
            delay(20);
        }
    }
    """
    async with opened_bench(tmp_path, build_cache, *firmware) as bench:
        await bench.deploy("late", source, pin=None, force=True)
        await bench.reconciler.check(bench.device_id)
        assert await bench.conditions() == {"late": "listed" if firmware else "running"}
        await bench.board.control.request(SetInput(4, 1))
        async with asyncio.timeout(60):
            while (await bench.conditions())["late"] != "trapped":  # noqa: ASYNC110  the board sends no event
                await asyncio.sleep(0)
        for _ in range(3):
            bench.monotonic_s += LINES_APART_S
            await bench.reconciler.check(bench.device_id)
        (crash,) = await CrashTable(bench.change_log.database).groups()
        assert (crash.program, crash.count) == ("late", 1)
        assert [event.kind for event in bench.events] == ["app.ended", "alarm", "crash"]
        if not firmware:
            await bench.deploy("next", blink_source(5))
            assert await bench.names() == ["next"]


async def test_a_program_on_a_bus_that_nobody_saw_work_waits_for_no_input_and_is_not_verified(bench: Bench) -> None:
    source = '#include "microclaw.h"\nint main(void) { i2c_open(8, 9); for (;;) delay(60000); }\n'
    done = await bench.deploy("bus", source, pin=None)
    assert (done.verified, done.agrees, done.evidence.kind) == (None, True, "accepted")
    assert "input" not in done.evidence.text
    with pytest.raises(PinClaimed, match=r"the I2C bus .* one program at a time") as caught:
        await bench.deploy("second", source, pin=None)  # another pin would not help it
    assert "put both into one program" in (caught.value.next_step or "")


async def test_pwm_that_a_pin_had_before_is_no_change_of_the_program(bench: Bench) -> None:
    source = """
    void setup() { pinMode(5, OUTPUT); }
    void loop() { for (int duty = 255; duty >= 0; duty--) { analogWrite(5, duty); delay(10); } }
    """
    await bench.device.call(PwmSet(5, 128, 5000))
    done = await bench.deploy("fades", source, pin=None)
    assert (done.verified, done.evidence.kind) == (True, "counted")
