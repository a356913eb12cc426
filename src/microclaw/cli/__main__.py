"""`python -m microclaw.cli` is the `microclaw` command."""

import sys

from microclaw.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
