"""The demo with a fleet (tests/test_demo.py has it with one board): the exit code, and nothing is left of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from tests.stories.conftest import microclaw


def test_the_demo_of_a_fleet_works_without_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = Path(tempfile.mkdtemp(prefix="demo-", dir="/tmp"))  # short: it holds unix sockets
    monkeypatch.setenv("TMPDIR", str(scratch))
    ran = microclaw(tmp_path / "home", "demo", "--once", "--fleet", "--boards", "4")
    assert ran.code == 0, ran.out + ran.err
    assert not (tmp_path / "home").exists()
    scratch.rmdir()
