"""As boot.py, with seconds instead of half minutes: MICROCLAW_AWAY_S is how long the host may be gone."""

import asyncio
import os
import select
import socket
import sys

sys.path.insert(0, sys.argv[2])
sys.path.insert(0, "tests/firmware/simulated")
import agent.life
import agent.telegram
import start

MOST_SOCKETS = 32


def grow_poll():
    """The unix port (1.25; chips have other code) crashes when its array of sockets grows while it also polls an object
    that is none, which the runner's flag is: it adds to that one's null pointer. So the array grows before."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(MOST_SOCKETS)]
    poller = asyncio.core._io_queue.poller
    for one in sockets:
        poller.register(one, select.POLLIN)
    for one in sockets:
        poller.unregister(one)
        one.close()


agent.life.AWAY_S = int(os.getenv("MICROCLAW_AWAY_S") or 30)
agent.life.TURN_S = int(os.getenv("MICROCLAW_TURN_S") or 300)
agent.life.HEARTBEAT_S = int(os.getenv("MICROCLAW_HEARTBEAT_S") or 1800)
agent.telegram.POLL_S = 1
grow_poll()
start.main(sys.argv[1])
