"""As boot.py, on the virtual board's chip (tests/virtual/py/bench.py): micropython boot.py FOLDER FIRMWARE."""

import sys

sys.path.insert(0, sys.argv[2])
import start

start.main(sys.argv[1])
