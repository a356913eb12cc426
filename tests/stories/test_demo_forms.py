"""The demo in its forms: the exit code says whether it worked, and nothing is left of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from tests.stories.conftest import microclaw


@pytest.mark.parametrize("words", ["--once", "--once --fleet --boards 4"])
def test_the_demo_works_without_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    scratch = Path(tempfile.mkdtemp(prefix="demo-", dir="/tmp"))  # short: it holds unix sockets
    monkeypatch.setenv("TMPDIR", str(scratch))
    ran = microclaw(tmp_path / "home", "demo", *words.split())
    assert ran.code == 0, ran.out + ran.err
    assert not (tmp_path / "home").exists()
    scratch.rmdir()
