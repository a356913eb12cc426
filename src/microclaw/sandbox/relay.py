"""Runs inside of a sandbox: the host's proxy listens at 127.0.0.1:PORT of this network. Then it becomes the command.

    python3 -I -S relay.py PORT SOCKET COMMAND...

The socket that listens is made here, where its network is, and sent to SOCKET: a path, or the number of a descriptor
(O_PATH) where it has no name in here. The command gets neither. Plain CPython of any supported version, nothing of ours
is there. What the command may reach, the proxy decides.
"""

from __future__ import annotations

import os
import socket
import sys


def main(port: str, proxy: str, command: list[str]) -> None:
    """Errors end the job."""
    if proxy.isdigit():
        path = f"/proc/self/fd/{proxy}"
    else:
        path = proxy
    family = socket.AF_UNIX
    with socket.create_server(("127.0.0.1", int(port))) as listening, socket.socket(family, socket.SOCK_DGRAM) as link:
        link.connect(path)
        socket.send_fds(link, [b"listening"], [listening.fileno()])
    if proxy.isdigit():
        os.close(int(proxy))
    os.execvp(command[0], command)  # noqa: S606 - it is the job


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
