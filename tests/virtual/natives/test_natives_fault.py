"""A fault of ours inside a native ends the program that called it with the native's name; the board goes on."""

from __future__ import annotations

import pytest
from tests.virtual.natives.conftest import CBench

PUTS = 'void on_init(void) { puts("hello"); }'


def test_a_fault_in_a_native_is_a_trap_with_its_name(bench: CBench, caplog: pytest.LogCaptureFixture) -> None:
    def faulty(*_: object) -> None:
        raise KeyError("no such column")

    bench.board.print = faulty  # type: ignore[method-assign, assignment]
    app = bench.run(PUTS)
    assert (app.status.state, app.status.kind_of_end) == ("trapped", "trapped")
    assert app.status.error == "Exception: the board's own function puts failed: KeyError: 'no such column'"
    assert bench.lines() == [f"Got exception running WASM code: {app.status.error}"]
    assert any(record.exc_info for record in caplog.records)
    del bench.board.print
    bench.run(PUTS, name="next")
    assert bench.lines("next") == ["hello"], "the board goes on"
