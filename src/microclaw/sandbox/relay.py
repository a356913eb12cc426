"""Runs inside of a sandbox: 127.0.0.1:PORT leads to the unix socket of the host's proxy. Then it becomes the command.

    python3 -I -S relay.py PORT SOCKET COMMAND...

SOCKET is its path, or the number of a descriptor (O_PATH) where it has no name in here; the command does not get it.
Plain CPython of any supported version, nothing of ours is there. What it may reach, the proxy decides.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import socket
import sys

MAX_CONNECTIONS = 32
BLOCK = 64 << 10
PR_SET_DUMPABLE = 4


class End:
    """One socket of a connection's two, with what still has to be written to it."""

    def __init__(self, link: socket.socket) -> None:
        link.setblocking(False)
        self.socket = link
        self.other = self
        self.waiting = b""
        self.is_read = False
        """Whether the peer has said all that it says."""
        self.is_shut = False
        """Whether the peer was told that nothing more comes."""

    def wants(self) -> int:
        read = selectors.EVENT_READ if not self.is_read and not self.other.waiting else 0
        return read | (selectors.EVENT_WRITE if self.waiting else 0)


class Relay:
    """Its connections, at most MAX_CONNECTIONS; a further one waits in the kernel."""

    def __init__(self, door: socket.socket, path: str) -> None:
        door.setblocking(False)
        self.door = door
        self.path = path
        self.waiting = selectors.DefaultSelector()
        self.ends: set[End] = set()

    def serve(self) -> None:
        """Relay until this process is killed, which happens with the job's last process."""
        self.waiting.register(self.door, selectors.EVENT_READ)
        while True:
            for key, events in self.waiting.select():
                if key.data is None:
                    self.accept()
                elif key.data in self.ends:
                    self.pump(key.data, events)

    def accept(self) -> None:
        try:
            inner, _ = self.door.accept()
        except OSError:
            return
        outer = socket.socket(socket.AF_UNIX)
        try:
            outer.connect(self.path)
        except OSError as problem:
            print(f"the proxy of this sandbox cannot be reached: {problem.strerror}", file=sys.stderr)
            inner.close()
            outer.close()
            return
        one, two = End(inner), End(outer)
        one.other, two.other = two, one
        for end in (one, two):
            self.ends.add(end)
            self.waiting.register(end.socket, selectors.EVENT_READ, end)
        if len(self.ends) >= 2 * MAX_CONNECTIONS:
            self.waiting.unregister(self.door)

    def pump(self, end: End, events: int) -> None:
        """Move what can be moved; a side is only read when the other has taken all that came before."""
        try:
            if events & selectors.EVENT_WRITE:
                end.waiting = end.waiting[end.socket.send(end.waiting) :]
            if events & selectors.EVENT_READ:
                data = end.socket.recv(BLOCK)
                end.other.waiting, end.is_read = data, not data
            for one in (end, end.other):
                if one.other.is_read and not one.waiting and not one.is_shut:
                    one.is_shut = True
                    one.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:  # one side is gone: so is the connection
            self.close(end)
            return
        if end.is_shut and end.other.is_shut:
            self.close(end)
            return
        for one in (end, end.other):
            self.watch(one)

    def watch(self, end: End) -> None:
        known, wants = end.socket in self.waiting.get_map(), end.wants()
        if wants and known:
            self.waiting.modify(end.socket, wants, end)
        elif wants:
            self.waiting.register(end.socket, wants, end)
        elif known:
            self.waiting.unregister(end.socket)

    def close(self, end: End) -> None:
        for one in (end, end.other):
            if one.socket in self.waiting.get_map():
                self.waiting.unregister(one.socket)
            one.socket.close()
            self.ends.discard(one)
        if self.door not in self.waiting.get_map():
            self.waiting.register(self.door, selectors.EVENT_READ)


def close_to_others() -> None:
    """Shut /proc/PID/fd and the memory of this process: by its handle the job could change the proxy's socket outside.

    It goes on in children, and ends with an exec.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the relay cannot be closed to the job")


def main(port: str, proxy: str, command: list[str]) -> None:
    """The relay's process belongs to process 1, so that the command has no child that it did not start."""
    close_to_others()
    door = socket.create_server(("127.0.0.1", int(port)), backlog=MAX_CONNECTIONS)
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            Relay(door, f"/proc/self/fd/{proxy}" if proxy.isdigit() else proxy).serve()
        os._exit(0)
    os.waitpid(child, 0)
    door.close()
    if proxy.isdigit():
        os.close(int(proxy))
    os.execvp(command[0], command)  # noqa: S606 - it is the job


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
