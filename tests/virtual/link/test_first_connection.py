"""The board joins its host: fingerprint, pairing, hello, calls."""

from __future__ import annotations

from microclaw.wire import board_control as control
from microclaw.wire.link.messages import Event, PairRequest, Telemetry


def test_board_pairs_says_hello_and_answers_calls(start_board, host, tmp_path) -> None:  # type: ignore[no-untyped-def]
    board = start_board("--serial", "none", "--flash", str(tmp_path / "flash"), *host.options)
    host.wait(lambda: host.is_connected)
    assert host.wait_for(PairRequest).csr is not None
    hello = host.hellos[0]
    assert hello.board == "virtual"
    assert "gpio.get" in hello.capabilities
    result = host.call("gpio.set", {"pin": 2, "level": 1})
    assert result.ok, result
    result = host.call("gpio.get", {"pin": 2})
    assert result.value == {"pin": 2, "level": 1}
    assert host.wait_for(Event, lambda e: e.name == "reboot").data == {"reason": "power_on", "boot": 1}
    assert host.wait_for(Telemetry).free_heap > 0
    status = board.control().ask(control.Link())
    assert (status.state, status.device_id) == ("connected", "dev-1")
