"""The whole way by voice: a sentence said into a virtual board blinks its pin and is answered aloud."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path


def test_a_spoken_sentence_blinks_a_pin_and_is_answered(tmp_path: Path) -> None:
    environ = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "microclaw", "demo", "--voice"]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "blink pin two every half second" in ran.stdout
    assert re.search(r"demo passed: spoken, heard, \d+ edges, answered aloud", ran.stdout)  # 8, a late look sees more
