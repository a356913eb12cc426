"""Runs inside of a sandbox: it lets the host's proxy listen at 127.0.0.1:PORT here, and becomes the command.

    python3 -I -S relay.py PORT SOCKET COMMAND...

The listening socket is made here, in the network of the sandbox, and sent to SOCKET: a path, or the number of a
descriptor (O_PATH) if the socket has no name in here. The command gets neither. This file runs on plain CPython of any
supported version, and imports nothing of the project. The proxy decides which places the command may reach.
"""

from __future__ import annotations

import os
import socket
import sys


def main(port: str, proxy: str, command: list[str]) -> None:
    """Send the listening socket, then become the command. Errors end the job."""
    path = proxy
    if proxy.isdigit():
        path = f"/proc/self/fd/{proxy}"
    family = socket.AF_UNIX
    with socket.create_server(("127.0.0.1", int(port))) as listening, socket.socket(family, socket.SOCK_DGRAM) as link:
        link.connect(path)
        socket.send_fds(link, [b"listening"], [listening.fileno()])
    if proxy.isdigit():
        os.close(int(proxy))
    os.execvp(command[0], command)  # noqa: S606 - it is the job


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
