"""A network on the unix port in which `server.example` is this computer: programs cannot reach its loopback itself.

Import it before netport. 198.51.100.0/24 are addresses for documents (RFC 5737).
"""

import socket as real
import sys

SERVER = "198.51.100.7"
NAMES = {"server.example": SERVER, "loop.example": "127.0.0.1", "inside.example": "10.0.0.7"}


class Sockets:
    """The module `socket`, which cannot be changed itself."""

    def __getattr__(self, name):
        return getattr(real, name)

    def getaddrinfo(self, host, port, *more):
        if host in NAMES:
            return real.getaddrinfo(NAMES[host], port, *more)
        return real.getaddrinfo("127.0.0.1" if host == SERVER else host, port, *more)


sys.modules["socket"] = Sockets()
