"""The `microclaw` command, also as `python -m microclaw`: only keeps a Ctrl-C during the imports from a traceback."""

import os
import sys


def main() -> int:
    """The exit code. The command is imported in here because that takes long enough to be interrupted."""
    try:
        from microclaw.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        os.write(2, b"interrupted\n")
        return 130  # as microclaw.cli.options.INTERRUPTED, which may not be there yet


if __name__ == "__main__":
    sys.exit(main())
