"""Each shell is offered commands and options; no host is asked and no home is made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import clean_environ


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_offered_the_commands(tmp_path: Path, shell: str) -> None:
    line = "microclaw device sh"
    asked = {"_MICROCLAW_COMPLETE": f"{shell}_complete", "COMP_WORDS": line}
    asked["COMP_CWORD"] = "sh" if shell == "fish" else "2"
    ran = subprocess.run(
        [sys.executable, "-m", "microclaw"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **clean_environ(tmp_path / "home"), **asked},
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "show" in ran.stdout
    assert not (tmp_path / "home").exists()
