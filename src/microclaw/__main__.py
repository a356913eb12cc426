"""The `microclaw` command, also as `python -m microclaw`. It hides the traceback of a Ctrl-C during the imports."""

import os
import sys


def main() -> int:
    """Run the command and return its exit code. The import is in here because it is long enough to be interrupted."""
    try:
        from microclaw.interfaces.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        os.write(2, b"interrupted\n")
        # As microclaw.interfaces.cli.options.INTERRUPTED, which may not be imported yet.
        return 130


if __name__ == "__main__":
    sys.exit(main())
