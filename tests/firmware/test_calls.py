"""Calls on a board that is short of memory: refused in words before the heap grows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.firmware.conftest import MICROPYTHON, SMALL, micropython

SCRIPT = """
import asyncio, json, sys
import runner
from calls import Calls

class Board:
    free = 0
    def own_free(self):
        return self.free
    def now_ms(self):
        return 1
    def gc_free(self):
        return 2
    def idf_free(self):
        return 3
    def idf_largest(self):
        return 3

board = Board()
made = runner.Runner(board, WORDS[2])
sys.modules["storage"] = sys
board.free = int(WORDS[0])
answer = asyncio.run(Calls(board, made, "1").answer(b"1", WORDS[1], {}, True))
print(json.dumps([answer, "storage" in sys.modules]))
"""


@pytest.mark.parametrize(
    ("free", "method", "code", "kept"),
    [
        (5000, "device.status", "failed", False),
        (6000, "device.status", None, True),
        (6000, "apps.begin", "failed", False),
        (0, "apps.stop", "bad_params", True),
    ],
)
def test_a_call_that_would_make_the_heap_grow_is_refused_but_a_stop_never(
    tmp_path: Path, free: int, method: str, code: str | None, kept: bool
) -> None:
    answer, has_storage = json.loads(micropython(SCRIPT, str(free), method, str(tmp_path / "apps")))
    assert answer.get("error", {}).get("code") == code
    assert has_storage == kept


OVERFLOW = """
import asyncio, json
import runner
from calls import Calls

class Board:
    def own_free(self):
        return 1 << 20
    def gpio_set(self, pin, level):
        raise OverflowError("overflow converting long int to machine word")
    pwm_set = adc_read = gpio_set

board = Board()
calls = Calls(board, runner.Runner(board, WORDS[0]), "1")

async def main():
    found = []
    for method, params in (
        ("gpio.set", {"pin": 2, "level": 1}),
        ("gpio.set", {"pin": 1 << 70, "level": 1}),
        ("gpio.set", {"pin": 2.0, "level": 1}),
        ("pwm.set", {"pin": 2, "duty": 1 << 64, "frequency_hz": 5}),
        ("pwm.set", {"pin": 2, "duty": 1, "frequency_hz": 1e300}),
        ("edges.read", {"cursor": -(1 << 80)}),
        ("apps.write", {"offset": 1 << 62, "data": b"x"}),
        ("apps.begin", {"name": "a", "kind": "py", "size": 1 << 62, "sha256": b"x" * 32}),
        ("apps.begin", {"name": "a", "kind": "py", "size": 1, "heap": 1 << 62, "sha256": b"x" * 32}),
        ("apps.begin", {"name": "a", "kind": "py", "size": 9, "every_ms": 1 << 70, "sha256": b"x" * 32}),
        ("apps.begin", {"name": "a", "kind": "py", "size": 9, "stop_after_ms": True, "sha256": b"x" * 32}),
        ("apps.begin", {"name": "a", "kind": "py", "size": 9, "every_ms": 1 << 32, "sha256": b"x" * 32}),
    ):
        answer = await calls.answer(bytes(16), method, params, True)
        found.append([answer["error"]["code"], len(answer["error"]["message"]) > 10])
    print(json.dumps(found))

asyncio.run(main())
"""


@pytest.mark.parametrize("program", [MICROPYTHON, SMALL], ids=["64", "32"])
def test_numbers_that_a_chip_cannot_hold_are_bad_arguments(tmp_path: Path, program: Path) -> None:
    answers = micropython(OVERFLOW, str(tmp_path / "apps"), program=program)
    assert json.loads(answers) == [["bad_params", True]] * 12


TIMES = """
import asyncio, json
import runner
from calls import Calls

class Board:
    heap, max_programs = 32768, 8
    def own_free(self):
        return 1 << 20

board = Board()
calls = Calls(board, runner.Runner(board, WORDS[0]), "1")
about = {"name": "a", "kind": "py", "size": 9, "sha256": b"x" * 32}
timed = dict(about, every_ms=600000, stop_after_ms=30000)
print(json.dumps([asyncio.run(calls.answer(bytes(16), "apps.begin", one, True))["value"] for one in (about, timed)]))
"""


def test_the_board_answers_the_times_that_it_keeps_so_that_a_host_knows(tmp_path: Path) -> None:
    plain, timed = json.loads(micropython(TIMES, str(tmp_path / "apps")))
    assert plain == {"offset": 0}
    assert timed == {"offset": 0, "every_ms": 600_000, "stop_after_ms": 30_000}
