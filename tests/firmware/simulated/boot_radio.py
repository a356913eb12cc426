"""As boot.py, with a radio (radio/network.py) that joins within a second or not at all. A connection takes its time to
end: a new network is often there before."""

import asyncio
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
_close = websocket.WebSocket.close


async def connect(*where):
    if not network.reaches_host():
        raise OSError("no way to the host")
    return await _connect(*where)


async def close(ws, *why):
    await _close(ws, *why)
    await asyncio.sleep_ms(700)


websocket.connect = connect
websocket.WebSocket.close = close
start.main(sys.argv[1])
