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

    At most MAX_CONNECTIONS at once; a further one waits.
    """
    import asyncio  # the command does not wait for it

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(BLOCK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def relay() -> None:
        free, running = asyncio.Semaphore(MAX_CONNECTIONS), set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            running.add(task := asyncio.current_task())  # the loop itself does not keep it
            async with free:
                try:
                    outer = await asyncio.open_unix_connection(path)
                except OSError as problem:
                    print(f"the proxy of this sandbox cannot be reached: {problem.strerror}", file=sys.stderr)
                else:
                    ways = [asyncio.ensure_future(carry(*both)) for both in ((reader, outer[1]), (outer[0], writer))]
                    await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)  # one side is gone: so is the other
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
                    outer[1].close()
            writer.close()
            running.discard(task)

        await (await asyncio.start_server(connected, sock=door)).serve_forever()

    asyncio.run(relay())


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
