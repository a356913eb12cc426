"""`py` programs on the virtual board. What the runner itself promises: tests/firmware/runner."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from tests.firmware.programs import BLINK
from tests.virtual.py.conftest import PyBench

from microclaw.hardware.firmware_folder import firmware_folder
from microclaw.virtual.clock import Clock
from microclaw.virtual.py.chip import ChipTime, Json, PythonChip
from microclaw.virtual.py.error_numbers import with_chip_numbers
from microclaw.virtual.py.programs import CallRefused
from microclaw.virtual.py.vm import image_engine, load_image


def test_a_blink_has_the_boards_time(bench: PyBench) -> None:
    bench.install("blink", BLINK)
    bench.clock.advance(120_000)
    edges = bench.edges(2)
    assert len(edges) in (240, 241)
    assert {round(after - before, 3) for (before, _), (after, _) in list(pairwise(edges))[1:]} == {500.0}
    assert bench.row("blink")["state"] == "running"
    assert next(pin.app for pin in bench.board.pins() if pin.pin == 2) == "blink"


def test_a_pin_that_a_program_left_high_begins_low_for_the_next_one(bench: PyBench) -> None:
    source = BLINK.replace("led.value(1)", "led.toggle()").replace("led.value(0)", "led.toggle()")
    seen = []
    for run_ms in (200, 2_300):  # the first is removed while its pin is high
        began = len(bench.edges(2))  # the program may run before its installation is answered
        bench.install("toggler", source)
        bench.clock.advance(run_ms)
        seen.append([level for _, level in bench.edges(2)[began:]])
        bench.programs.call("remove", {"name": "toggler"})
    assert seen == [[1], [1, 0, 1, 0, 1]]
    assert bench.edges(2)[-1][1] == 0


def test_an_interrupt_reaches_the_handler_at_its_time(bench: PyBench) -> None:
    bench.install(
        "button",
        """
async def main(E):
    machine = E.module("machine")
    led = machine.Pin(2, machine.Pin.OUT)
    button = machine.Pin(4, machine.Pin.IN, machine.Pin.PULL_UP)
    E.irq(button, lambda pin: led.value(1 - led.value()), machine.Pin.IRQ_FALLING)
    while True:
        await E.y()
        await E.sleep(3600)
""",
    )
    bench.clock.advance(10)
    for at_ms, level in ((100, 0), (150, 1), (400, 0)):
        bench.clock.call_at(at_ms, lambda level=level: bench.board.set_input(4, level))  # type: ignore[misc]
    bench.clock.advance(1_000)
    assert bench.edges(2) == [(100.0, 1), (400.0, 0)]


def test_a_call_of_the_runner_is_fetched_when_the_event_loop_waits_and_an_interrupt_at_once(bench: PyBench) -> None:
    """A question of the host between the trigger and the echo of a sonar must not take the program's time."""
    chip = PythonChip(bench.board, ChipTime(lambda: None, lambda ms: None, lambda until_ms: None, lambda: None))
    chip.add("wait", lambda ms: None)
    call: list[Json] = ["call", 0, 1, "list", {}]
    chip.post_call(call)
    assert json.loads(chip.perform("pin_open", "[4]", 1000)) == [None, None, 0]
    assert json.loads(chip.perform("wait", "[0]", 1000)) == [None, None, 1]
    assert json.loads(chip.perform("calls", "[]", 1000)) == [[call], None, 0]
    chip.perform("pin_irq", "[4, 1]", 1000)
    bench.board.set_input(4, 1)
    assert json.loads(chip.perform("pin_open", "[4]", 1000)) == [None, None, 1]
    assert json.loads(chip.perform("interrupts", "[]", 1000)) == [[["irq", 4, 1, 0.0]], None, 0]
    chip.close()


def test_a_pin_of_a_wasm_program_is_refused_and_a_power_cut_keeps_what_starts_by_itself(bench: PyBench) -> None:
    bench.board.claim(5, "a WebAssembly program")
    bench.install("other", BLINK.replace("Pin(2", "Pin(5"), autostart=False)
    bench.install("blink", BLINK)
    bench.clock.advance(700)
    assert "pin 5 belongs to another program" in str(bench.events[0][1]["reason"])
    bench.board.reset()
    before = len(bench.board.edges().records)
    bench.clock.advance(2_000)
    assert {edge.pin for edge in bench.board.edges(before).records} == {2}
    assert bench.wait_for(lambda: bench.row("other")["state"] == "stopped")


def test_a_program_sees_its_own_flash_and_no_more(bench: PyBench) -> None:
    bench.install(
        "files",
        """
async def main(E):
    os = E.module("os")
    for path in ("/etc/passwd", "/../secret", "/lib/../../x", "/vm/main.py"):
        try:
            open(path, "r+" if path.startswith("/vm") else "r").close()
            E.print("opened", path)
        except OSError as exc:
            E.print(exc.errno)
    with open("/note.txt", "w") as file:
        file.write("kept")
    E.print(open("/note.txt").read(), len(os.urandom(4)), os.statvfs("/")[3] > 0)
    try:
        with open("/big", "wb") as file:
            while True:
                file.write(bytes(65536))
    except OSError as exc:
        E.print("full", exc.errno)
""",
    )
    bench.clock.advance(1_000)
    assert bench.lines("files") == ["2", "1", "1", "30", "kept 4 True", "full 28"]


# newlib's errno.h, which the ESP32's MicroPython takes.
OF_AN_ESP32 = {
    **{"EPERM": 1, "ENOENT": 2, "EIO": 5, "EBADF": 9, "EAGAIN": 11, "ENOMEM": 12, "EACCES": 13, "EEXIST": 17},
    **{"ENODEV": 19, "EISDIR": 21, "EINVAL": 22, "EOPNOTSUPP": 95, "ECONNRESET": 104, "ENOBUFS": 105},
    **{"ECONNREFUSED": 111, "EADDRINUSE": 112, "ECONNABORTED": 113, "ETIMEDOUT": 116, "EHOSTUNREACH": 118},
    **{"EINPROGRESS": 119, "EALREADY": 120, "ENOTCONN": 128},
}


def test_an_image_with_another_table_of_errors_is_refused() -> None:
    with pytest.raises(ValueError, match="0 tables of error numbers"):
        with_chip_numbers(b"another image")


def test_errors_have_the_numbers_of_an_esp32(bench: PyBench) -> None:
    bench.install(
        "numbers",
        """
async def main(E):
    errno, os, open = E.module("errno"), E.module("os"), E.module("io").open
    for name in dir(errno):
        if name[0] == "E":
            number = getattr(errno, name)
            E.print(name, number, errno.errorcode[number], OSError(number))
    E.print("done", len(errno.errorcode))
    os.mkdir("/full")
    open("/full/file", "w").close()
    for fails in (
        lambda: open("/none"),
        lambda: os.mkdir("/full"),
        lambda: os.rmdir("/full"),
        lambda: open("/full"),
        lambda: os.rmdir("/full/file"),
        lambda: open("/full/file", "w").read(),
    ):
        try:
            with fails() as opened:
                opened.read()
            E.print("no error")
        except OSError as exc:
            E.print(exc.errno)
""",
    )
    bench.clock.advance(5_000)
    lines = bench.lines("numbers")
    end = lines.index(f"done {len(OF_AN_ESP32)}")
    names = [f"{name} {number} {name} [Errno {number}] {name}" for name, number in OF_AN_ESP32.items()]
    assert sorted(lines[:end]) == sorted(names)
    assert lines[end + 1 :] == ["2", "17", "39", "21", "20", "9"]


def test_an_interpreter_that_hangs_is_started_again_without_its_programs(tmp_path: Path, cache: Path) -> None:
    bench = PyBench(tmp_path, Clock(), cache=cache, hang_s=10.0)
    bench.install(
        "hung",
        """
async def main(E):
    E.module("machine").Pin(2, 3)
    while True:
        max(range(1 << 30))
""",
    )
    try:
        assert _state(bench, "hung") == "running"  # the board is busy with it
        assert bench.wait_for(lambda: bool(bench.events))
        assert bench.events[0] == (
            "app.crash",
            {"app": "hung", "reason": "MicroPython hung: it ran for 10 s without a wait", "alive": False},
        )
        assert bench.wait_for(lambda: _state(bench, "hung") == "stopped")
    finally:
        bench.machine.close()


def _state(bench: PyBench, name: str) -> object:
    try:
        return bench.row(name)["state"]
    except CallRefused:  # asked while it was started again
        return None


NEVER_STOPS = """
async def main(E):
    while True:
        try:
            await E.sleep_ms(1000)
        except BaseException:
            pass
"""


def test_a_board_starts_again_for_a_program_that_does_not_stop(bench: PyBench) -> None:
    bench.install("deaf", NEVER_STOPS)
    boot = bench.machine.board.boot
    with pytest.raises(CallRefused, match="ended meanwhile"):
        bench.programs.call("stop", {"name": "deaf"})
    assert bench.wait_for(lambda: bench.board.boot == boot + 1 and bench.board.powered)
    assert bench.wait_for(lambda: [row["state"] for row in bench.programs.rows()] == ["stopped"])


def test_a_strip_of_leds_shows_its_colours(bench: PyBench) -> None:
    strip = "E.module('neopixel').NeoPixel(E.module('machine').Pin(4), 2)"
    bench.install("strip", f"async def main(E):\n    s = {strip}\n    s[1] = (255, 1, 2)\n    s.write()\n")
    bench.clock.advance(100)
    assert bench.board.led_changes().records[-1].data == bytes([0, 0, 0, 1, 255, 2]).hex()


def test_the_compiled_image_is_kept_private_and_not_taken_from_others(tmp_path: Path, cache: Path) -> None:
    engine = image_engine()
    load_image(engine, tmp_path)
    [kept] = (tmp_path / "micropython").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_bytes(b"not machine code")
    load_image(engine, tmp_path)
    assert len(kept.read_bytes()) > 100_000
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_bytes(b"somebody else's")
    kept.parent.chmod(0o777)
    load_image(engine, tmp_path)
    assert kept.read_bytes() == b"somebody else's"


def test_the_runner_of_an_update_takes_the_place_of_the_one_that_is_built_in(bench: PyBench, tmp_path: Path) -> None:
    shutil.copytree(firmware_folder() / "fw", tmp_path / "fw_a")
    slots = tmp_path / "fw_a" / "slots.py"
    slots.write_text(slots.read_text().replace("no program named %s is installed", "the new one knows no %s"))
    bench.programs.firmware = tmp_path / "fw_a"
    with pytest.raises(CallRefused):
        bench.programs.call("start", {"name": "blink"})


def test_a_greedy_program_is_ended_and_rubbish_is_no_reason_to_end_one(bench: PyBench) -> None:
    loop = "async def main(E):\n    held, n = [], 0\n    while True:\n        await E.y()\n        n += 1\n        {}\n"
    bench.install("blink", BLINK)
    bench.install("greedy", loop.format("held.append(bytearray(2000))\n        await E.sleep_ms(5)"))
    bench.clock.advance(5_000)
    assert {data["app"] for _, data in bench.events} == {"greedy"}
    assert "MemoryError" in str(bench.events[0][1]["reason"])
    assert bench.row("blink")["state"] == "running"
    bench.programs.call("remove", {"name": "greedy"})
    bench.events.clear()
    for name in ("waste", "more"):
        bench.install(name, loop.format("held = bytearray(3000 + n % 7 * 100)\n        await E.sleep_ms(3)"))
    bench.clock.advance(1_500)  # a program is looked at each second
    assert {str(row["state"]) for row in bench.programs.rows()} == {"running"}
    assert not bench.events


def test_a_program_that_resets_its_chip_begins_anew_and_the_others_go_on(bench: PyBench) -> None:
    bench.install("blink", BLINK.replace("Pin(2", "Pin(5"))
    bench.install(
        "p",
        """
async def main(E):
    machine = E.module("machine")
    led = machine.Pin(2, machine.Pin.OUT)
    led.value(1)
    await E.sleep(10)
    machine.reset()
""",
    )
    bench.clock.advance(25_000)
    assert [level for _, level in bench.edges(2)] == [1, 0, 1, 0, 1]
    began = [at_ms for at_ms, level in bench.edges(2) if level]
    assert [after - before for before, after in pairwise(began)] == pytest.approx([10_000, 11_000], abs=20)
    assert {event[1]["kind"] for event in bench.events} == {"restarted"}
    (row,) = [row for row in bench.programs.app_rows() if row.name == "p"]
    assert (row.state, row.kind_of_end, row.error) == ("running", "restarted", None)
    assert {round(after - before) for (before, _), (after, _) in list(pairwise(bench.edges(5)))[1:]} == {500}
