"""As boot.py, with a radio (radio/network.py) that joins within a second or not at all."""

import sys

sys.path.insert(0, sys.argv[2])
sys.path.insert(0, "tests/firmware/simulated/radio")
import network
import start
import websocket
import wifi

wifi.JOIN_S = 1
wifi.MAX_WAIT_S = 1
_connect = websocket.connect


async def connect(*where):
    if not network.reaches_host():
        raise OSError("no way to the host")
    return await _connect(*where)


websocket.connect = connect
start.main(sys.argv[1])
