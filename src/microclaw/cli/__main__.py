"""`python -m microclaw.cli` is the `microclaw` command."""

import sys

from microclaw.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
