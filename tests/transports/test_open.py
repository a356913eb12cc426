"""Addresses become transports, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.boards import load_board
from microclaw.errors import ConfigError
from microclaw.transports.open import open_transport


@pytest.mark.parametrize(
    ("typed", "endpoint"),
    [
        ("wasmachine://board.lan:8080", "wasmachine://board.lan:8080"),
        ("wasmachine://192.168.1.20", "wasmachine://192.168.1.20:8080"),
        ("192.168.1.20:8888", "wasmachine://192.168.1.20:8888"),
        ("wasmachine://[fe80::1]:8080", "wasmachine://[fe80::1]:8080"),
        ("serial:/dev/ttyACM0", "serial:/dev/ttyACM0"),
        ("serial:tcp://127.0.0.1:5000", "serial:tcp://127.0.0.1:5000"),
        ("virtual:/run/c.sock", "virtual:/run/c.sock"),
    ],
)
def test_each_form_of_address_opens_its_transport(typed: str, endpoint: str, tmp_path: Path) -> None:
    assert open_transport(typed, load_board("virtual"), lock_folder=tmp_path).endpoint == endpoint


@pytest.mark.parametrize("typed", ["", "http://x", "board:port", "a:0", "a:70000", "a b:1", "xiaozhi:11:22"])
def test_nonsense_is_refused_with_the_known_forms(typed: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_transport(typed, load_board("virtual"), lock_folder=tmp_path)
    assert caught.value.next_step
