"""As boot.py, with a chip's small send buffer (lwIP: 5.7 KB) and two seconds for a host to take what is sent."""

import socket
import sys

sys.path.insert(0, sys.argv[2])
import start
import websocket
from micropython import const

_SOL_SOCKET = const(1)
_SO_SNDBUF = const(7)


class SmallSockets:
    """The module `socket`, which cannot be changed itself."""

    def __getattr__(self, name):
        return getattr(socket, name)

    def socket(self, *kind):
        made = socket.socket(*kind)
        made.setsockopt(_SOL_SOCKET, _SO_SNDBUF, 4096)
        return made


sys.modules["socket"] = SmallSockets()
websocket.WRITE_S = 2
start.main(sys.argv[1])
