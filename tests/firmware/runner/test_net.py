"""Sockets of programs on the unix port, with real servers and clients in the test's process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.firmware.runner.conftest import MicroPython

CLIENT = """
async def main(E):
    socket = E.module("socket")
    s = socket.socket()
    place = (await E.aw(socket.getaddrinfo("server.example", PORT)))[0][-1]
    await E.aw(s.connect(place))
    await E.aw(s.send("GET / HTTP/1.0\\r\\n\\r\\n"))
    E.print(await E.aw(s.readline()))
    E.print(await E.aw(s.read()))
    s.close()
"""


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server whose connections are handled one after the other; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                handle(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def act(micropython: MicroPython, program: str, steps: str, *, hosts: str = "[]", ports: str = "[]") -> Any:
    """Install a program with its network, and return what the lines of a coroutine return."""
    micropython.compile("p", program)
    body = "\n    ".join(steps.strip().split("\n"))
    return micropython.run(f"""
import lan
async def main():
    runner = new_runner()
    await install(runner, "p", hosts={hosts}, ports={ports})
    {body}
run(main)
""")


def test_a_client_gets_its_answer(micropython: MicroPython) -> None:
    got = []

    def answer(connection: socket.socket) -> None:
        got.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")

    with serving(answer) as port:
        said = act(
            micropython,
            CLIENT.replace("PORT", str(port)),
            "await until(lambda: len(lines()) == 2 or events())\nreturn [lines(), events()]",
            hosts="['server.example']",
        )
    assert said == [["b'HTTP/1.0 200 OK\\r\\n'", "b'\\r\\nhello'"], []] or said[1][0]["name"] == "app.exit", said
    assert got == [b"GET / HTTP/1.0\r\n\r\n"]
