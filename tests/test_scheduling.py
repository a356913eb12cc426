"""A run of several workers of which one dies goes on without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = {
    "test_dies.py": "import os\n\ndef test_before(): pass\ndef test_dies(): os._exit(1)\ndef test_after(): pass\n",
    "test_more.py": "def test_more(): pass\n",
    "test_most.py": "def test_most(): pass\n",
}


def test_a_test_that_its_worker_dies_in_fails_alone(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    words = [sys.executable, "-m", "pytest", "-v", "-p", "tests.scheduling", "-n", "2", "--dist", "loadfile"]
    run = subprocess.run(
        [*words, "--rootdir", tmp_path, tmp_path],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 failed, 4 passed" in run.stdout, run.stdout
