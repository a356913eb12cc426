"""Calls on a board that is short of memory: refused in words before the heap grows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.firmware.conftest import micropython

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
