"""As boot.py, on the chip that the virtual board has (virtual/py/bench.py): micropython boot.py FOLDER FIRMWARE."""

import sys

sys.path.insert(0, sys.argv[2])
import start

start.main(sys.argv[1])
