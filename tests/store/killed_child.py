"""A child that writes and acknowledges on its output, until it is killed."""

from __future__ import annotations

import subprocess
import sys


def lines_until_killed(code: str, *arguments: object, lines: int) -> list[str]:
    """Kill -9 after so many lines; every whole line that it said."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(lines)]
    child.kill()
    rest, _ = child.communicate(timeout=60)
    whole = [line for line in ("".join(said) + rest).splitlines(keepends=True) if line.endswith("\n")]
    assert len(whole) >= lines
    return whole
