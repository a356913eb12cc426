"""As boot.py, with two seconds for a host to take what is sent."""

import sys

sys.path.insert(0, sys.argv[2])
sys.path.insert(0, "tests/firmware/simulated")
import start
import websocket

websocket.WRITE_S = 2
start.main(sys.argv[1])
