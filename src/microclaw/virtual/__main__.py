"""`python -m microclaw.virtual`: one virtual board as a process (board_process.py)."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Run a board and return the exit code. What its imports make stays: to look for garbage in it is a third more."""
    gc.disable()
    from microclaw.virtual.board_process import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
