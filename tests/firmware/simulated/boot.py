"""Starts the firmware's own files on the unix port: micropython boot.py FOLDER [FIRMWARE]."""

import sys

sys.path.insert(0, sys.argv[2] if len(sys.argv) > 2 else "firmware/fw")
import start

start.main(sys.argv[1])
