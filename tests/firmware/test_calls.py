"""Calls on a board that is short of memory: refused in words before the heap grows."""

from __future__ import annotations

import json
from pathlib import Path

from tests.firmware.conftest import SMALL, micropython

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
made = runner.Runner(board, WORDS[1])
made.slots.records["lamp"] = {"now": "a"}
found = []
for board.free, method in json.loads(WORDS[0]):
    sys.modules["storage"] = sys
    answer = asyncio.run(Calls(board, made, "1").answer(b"1", method, {"name": "lamp"}, True))
    found.append([answer.get("error", {}).get("code"), "storage" in sys.modules])
print(json.dumps(found))
"""


ROWS = [
    (8000, "device.status", "failed", False),
    (9000, "apps.begin", "failed", False),
    (9000, "device.status", None, True),
    (0, "apps.stop", None, False),
]


def test_a_call_that_would_make_the_heap_grow_is_refused_but_a_stop_never(tmp_path: Path) -> None:
    asked = json.dumps([row[:2] for row in ROWS])
    answers = json.loads(micropython(SCRIPT, asked, str(tmp_path / "apps")))
    assert answers == [[code, kept] for _, _, code, kept in ROWS]


OVERFLOW = """
import asyncio, json
import runner
from calls import Calls

class Board:
    def own_free(self):
        return 1 << 20
    def gpio_set(self, pin, level):
        raise OverflowError("overflow converting long int to machine word")
    pwm_set = gpio_set

calls = Calls(Board(), runner.Runner(Board(), WORDS[0]), "1")
app = {"name": "a", "kind": "py", "size": 9, "sha256": b"x" * 32}

async def main():
    begins = [("apps.begin", dict(app, **{key: 1 << 62})) for key in ("size", "heap", "every_ms", "stop_after_ms")]
    for method, params in begins + [
        ("gpio.set", {"pin": 1 << 70, "level": 1}),
        ("pwm.set", {"pin": 2, "duty": 1, "frequency_hz": 1e300}),
        ("edges.read", {"cursor": -(1 << 80)}),
        ("apps.write", {"offset": 1 << 62, "data": b"x"}),
    ]:
        print((await calls.answer(bytes(16), method, params, True))["error"]["code"])

asyncio.run(main())
"""


NETWORK = """
import asyncio
import runner
from board import Board
from calls import Calls

calls = Calls(Board({"memory_floor": 0}), runner.Runner(Board({"memory_floor": 0}), WORDS[0]), "1")
app = {"name": "a", "kind": "py", "size": 9, "sha256": b"x" * 32}

async def main():
    for network in (
        {"hosts": ["api.example.org:80"], "ports": [80]},
        {"hosts": ["api.example.org"]},
        {"hosts": "api.example.org"},
        {"hosts": ["A B"]},
        {"ports": [0]},
        {"ports": [True]},
        {"hosts": ["h"] * 17},
    ):
        answer = await calls.answer(bytes(16), "apps.begin", dict(app, **network), True)
        print(sorted(answer["value"].items()) if answer["ok"] else answer["error"]["code"])

asyncio.run(main())
"""


def test_a_board_repeats_the_network_that_it_keeps(tmp_path: Path) -> None:
    assert micropython(NETWORK, str(tmp_path / "apps"), program=SMALL).splitlines() == [
        "[('hosts', ['api.example.org:80']), ('offset', 0), ('ports', [80])]",
        "[('hosts', ['api.example.org']), ('offset', 0)]",
        *["bad_params"] * 5,
    ]


def test_numbers_that_a_chip_cannot_hold_are_bad_arguments(tmp_path: Path) -> None:
    assert micropython(OVERFLOW, str(tmp_path / "apps"), program=SMALL).split() == ["bad_params"] * 8
