"""A fault of ours inside a native ends the program that called it with the native's name; the board goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.virtual.natives.conftest import Bench, CompileC

from microclaw.boards import load_board
from microclaw.virtual.board import Board
from microclaw.virtual.runtime.app import AppState
from microclaw.virtual.runtime.loader import Runtime
from microclaw.virtual.virtual_clock import VirtualClock

PUTS = 'void on_init(void) { puts("hello"); }'


class FaultyBoard(Board):
    """Its console has a bug: what an app prints raises."""

    is_faulty = True

    def print(self, data: bytes, app: str | None = None) -> None:
        if self.is_faulty:
            raise KeyError("no such column")
        super().print(data, app)


@pytest.fixture
def faulty(compile_c: CompileC, tmp_path: Path) -> Iterator[Bench]:
    clock = VirtualClock()
    board = FaultyBoard(load_board("virtual"), clock, storage_dir=tmp_path / "storage")
    bench = Bench(board, Runtime(board), clock, compile_c)
    yield bench
    bench.runtime.close()


def test_a_fault_in_a_native_is_a_trap_with_its_name(faulty: Bench, caplog: pytest.LogCaptureFixture) -> None:
    app = faulty.run(PUTS)
    assert (app.state, app.kind_of_end) == (AppState.TRAPPED, "trapped")
    assert app.error == "Exception: the board's own function puts failed: KeyError: 'no such column'"
    assert faulty.lines() == [f"Got exception running WASM code: {app.error}"]
    assert any(record.exc_info for record in caplog.records)
    assert isinstance(faulty.board, FaultyBoard)
    faulty.board.is_faulty = False
    faulty.run(PUTS, name="next")
    assert faulty.lines("next") == ["hello"], "the board goes on"
