"""The `microclaw` command, also as `python -m microclaw`. It hides the traceback of a Ctrl-C during the imports."""

from __future__ import annotations

import os
import sys

# As of typing, which is not imported here: a Ctrl-C during an import outside of `main` would show a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from microclaw.interfaces.cli.options import HostRunner


def main() -> int:
    """Run the command and return its exit code. The import is in here because it is long enough to be interrupted."""
    try:
        from microclaw.app.rooms import ROOMS
        from microclaw.interfaces.cli.main import main as run

        return run(rooms=ROOMS, load_host=_load_host)
    except KeyboardInterrupt:
        os.write(2, b"interrupted\n")
        # As microclaw.interfaces.cli.options.INTERRUPTED, which may not be imported yet.
        return 130


def _load_host() -> HostRunner:
    """Import the host, which takes longer than most commands, and return the function that runs it."""
    from microclaw.app import running_host

    return running_host


if __name__ == "__main__":
    sys.exit(main())
