from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CRASHING = Path(__file__).with_name("crashing_host.py")


def crashes(folder: Path, *more: str) -> list[list[str]]:
    """One row a crash: where, the fingerprint before, the fingerprint after."""
    run = subprocess.run(
        [sys.executable, str(CRASHING), str(folder), *more], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    *rows, last = run.stdout.splitlines()
    assert last == "done"
    return [row.split() for row in rows]


def test_host_that_dies_at_any_file_operation_of_its_first_start_has_one_whole_identity_after(tmp_path: Path) -> None:
    assert len(crashes(tmp_path)) > 10


def test_host_that_dies_while_it_begins_anew_has_the_new_authority_after(tmp_path: Path) -> None:
    rows = crashes(tmp_path, "anew")
    assert len(rows) > 10
    assert all(before != after for _, before, after in rows)
