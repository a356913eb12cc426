"""Runs inside of a sandbox: 127.0.0.1:PORT leads to the unix socket of the host's proxy. Then it becomes the command.

    python3 -I -S relay.py PORT SOCKET COMMAND...

SOCKET is its path, or the number of a descriptor (O_PATH) where it has no name in here; the command does not get it.
Plain CPython of any supported version, nothing of ours is there. What it may reach, the proxy decides.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys

MAX_CONNECTIONS = 32
BLOCK = 64 << 10
PR_SET_DUMPABLE = 4


def serve(door: socket.socket, path: str) -> None:
    """Relay until this process is killed, which happens with the job's last process.

    At most MAX_CONNECTIONS at once; a further one waits in the kernel.
    """
    import asyncio  # the command does not wait for it

    loop = asyncio.new_event_loop()
    running = set()

    async def carry(source: socket.socket, target: socket.socket) -> None:
        while data := await loop.sock_recv(source, BLOCK):
            await loop.sock_sendall(target, data)
        target.shutdown(socket.SHUT_WR)

    async def connect(inner: socket.socket, outer: socket.socket) -> None:
        with inner, outer:
            try:
                outer.connect(path)
            except OSError as problem:
                print(f"the proxy of this sandbox cannot be reached: {problem.strerror}", file=sys.stderr)
                return
            outer.setblocking(False)
            ways = [loop.create_task(carry(inner, outer)), loop.create_task(carry(outer, inner))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)  # one side is gone: so is the connection
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def accept() -> None:
        free = asyncio.Semaphore(MAX_CONNECTIONS)
        while True:
            await free.acquire()
            try:
                inner, _ = await loop.sock_accept(door)
            except OSError:  # whoever asked is gone
                free.release()
                continue
            task = loop.create_task(connect(inner, socket.socket(socket.AF_UNIX)))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(lambda _: free.release())

    door.setblocking(False)
    loop.run_until_complete(accept())


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
            serve(door, f"/proc/self/fd/{proxy}" if proxy.isdigit() else proxy)
        os._exit(0)
    os.waitpid(child, 0)
    door.close()
    if proxy.isdigit():
        os.close(int(proxy))
    os.execvp(command[0], command)  # noqa: S606 - it is the job


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
