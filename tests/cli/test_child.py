"""Processes that a command line starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.cli.child import Child
from microclaw.errors import ConfigError


def test_child_that_says_why_it_cannot_start_is_quoted(tmp_path: Path) -> None:
    words = ["microclaw", "--home", "/dev/null/home", "--json", "up"]
    with Child("host", words, log=tmp_path / "log") as child, pytest.raises(ConfigError) as caught:
        child.wait_ready()
    assert caught.value.next_step
    assert not child.running


def test_child_that_prints_no_ready_line_is_refused(tmp_path: Path) -> None:
    with Child("host", ["json.tool", "--help"], log=tmp_path / "log") as child, pytest.raises(ConfigError):
        child.wait_ready()
    assert not child.running


def test_leaving_stops_the_child_and_tells_its_start_time(tmp_path: Path) -> None:
    words = ["microclaw.virtual", "--wasmachine", "0", "--serial", "none"]
    with Child("board", words, log=tmp_path / "log") as child:
        facts, took_s = child.wait_ready()
        assert facts["pid"] == child.pid
        assert 0 < took_s < 20
        assert child.running
    assert not child.running
