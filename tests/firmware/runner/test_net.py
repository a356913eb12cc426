"""Sockets of programs on the unix port, with real servers and clients in the test's process.

`E.aw(...)` is what the host makes of a call that may wait. A test's time-outs are short, so that nothing lasts long.
"""

from __future__ import annotations

import json
import queue
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from textwrap import dedent, indent
from typing import Any

import pytest
from tests.firmware.conftest import PATIENCE_S
from tests.firmware.runner.conftest import MicroPython
from tests.postgres import free_port

CONNECT = """
    socket = E.module("socket")
    async def connect(port, host="server.example"):
        s = socket.socket()
        await E.aw(s.connect((await E.aw(socket.getaddrinfo(host, port)))[0][-1]))
        return s
    async def fault(coro):
        try:
            return await coro
        except (OSError, MemoryError) as exc:
            return E.module("errno").errorcode.get(exc.errno) if isinstance(exc, OSError) else "MemoryError"
"""
ECHO = """
async def main(E):
    socket = E.module("socket")
    listener = socket.socket()
    listener.bind(("", PORT))
    listener.listen(5)
    E.print("listening")
    while True:
        await E.y()
        client, address = await E.aw(listener.accept())
        client.settimeout(3)
        try:
            await E.aw(client.send(b"got " + await E.aw(client.recv(1024))))
        except OSError:
            E.print("a client was lost")
        client.close()
"""


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server of the test, which handles each connection in a thread; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            handle(connection)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=run, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        # Without it, the thread's `accept` would keep the port open.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def asked(micropython: MicroPython, body: str, hosts: tuple[str, ...] = ("server.example",)) -> list[str]:
    """Return the lines of a program with these lines in its main."""
    micropython.compile("p", f"async def main(E):{CONNECT}{indent(dedent(body), '    ')}\n    raise SystemExit\n")
    lines, crashes = micropython.run(f"""
import lan
async def main():
    runner = new_runner()
    await install(runner, "p", hosts={[*hosts]!r}, heap=16384)
    await until(lambda: events("app.exit") or events("app.crash"))
    return [lines(), events("app.crash")]
run(main)
""")
    assert not crashes
    return [str(line) for line in lines]


@contextmanager
def running(micropython: MicroPython, program: str, steps: str) -> Iterator[Callable[[], Any]]:
    """A program that serves, beside a blink; the call ends it by the lines of `steps`, and returns what they return."""
    micropython.compile("p", program)
    micropython.compile(
        "blink",
        "async def main(E):\n    pin = E.module('machine').Pin(2, 1)\n    while True:\n        pin.toggle()\n"
        "        await E.sleep_ms(20)\n",
    )
    text = f"""
import lan
import os
async def main():
    runner = new_runner()
    await install(runner, "blink")
    await install(runner, "p", ports=[PORT], heap=16384)
    await until(lambda: lines())
    print("ready")
    while "over" not in os.listdir(FOLDER):
        await asyncio.sleep_ms(5)
{indent(steps.strip(), "    ")}
run(main)
"""
    port = program.partition("PORT = ")[2].partition("\n")[0]
    process = subprocess.Popen(
        micropython.script(text.replace("PORT", port)),
        env=micropython.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()

            def end() -> Any:
                (micropython.folder / "over").touch()
                out, err = process.communicate(timeout=PATIENCE_S)
                assert not err
                return json.loads(out.strip().split("\n")[-1])

            yield end
        finally:
            process.kill()


def echo(port: int) -> str:
    return f"PORT = {port}\n{ECHO}"


def ask(port: int, data: bytes = b"hello") -> bytes:
    """Return a server's answer. Of too many clients at once the system refuses some, who come again."""
    while True:
        place = ("127.0.0.1", port)
        with suppress(ConnectionResetError), socket.create_connection(place, timeout=PATIENCE_S) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(4096), b""))


def test_a_client_reads_lines_counts_and_the_rest(micropython: MicroPython) -> None:
    got = []

    def answer(connection: socket.socket) -> None:
        got.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n0123456789" + b"x" * 5000)

    body = """
        s = await connect(PORT)
        E.print(await E.aw(s.send("GET / HTTP/1.0\\r\\n\\r\\n")))
        E.print(await E.aw(s.readline()), await E.aw(s.makefile("rb").readline()), await E.aw(s.recv(2)))
        buffer = bytearray(4)
        E.print(await E.aw(s.readinto(buffer)), buffer, await E.aw(s.read(2)), len(await E.aw(s.read())))
        E.print(await E.aw(s.read()), await E.aw(s.readline()), await E.aw(s.recv(9)))
        s.close()
        E.print(await fault(E.aw(s.recv(1))))
    """
    with serving(answer) as port:
        lines = asked(micropython, body.replace("PORT", str(port)))
    assert lines == [
        "18",
        "b'HTTP/1.0 200 OK\\r\\n' b'A: b\\r\\n' b'\\r\\n'",
        "4 bytearray(b'0123') b'45' 5004",
        "b'' b'' b''",
        "EBADF",
    ]
    assert got == [b"GET / HTTP/1.0\r\n\r\n"]


def test_what_never_waits_says_so(micropython: MicroPython) -> None:
    """As umqtt.simple's check_msg reads."""
    body = """
        s = await connect(PORT)
        s.setblocking(False)
        E.print(await E.aw(s.read(1)), await E.aw(s.readline()), await fault(E.aw(s.recv(1))))
        s.setblocking(True)
        await E.aw(s.write(b"go"))
        E.print(await E.aw(s.read(2)))
    """

    def answer(connection: socket.socket) -> None:
        connection.recv(2)
        connection.sendall(b"ok")
        connection.recv(1)

    with serving(answer) as port:
        assert asked(micropython, body.replace("PORT", str(port))) == ["None None EAGAIN", "b'ok'"]


POLLING = """
async def main(E):
    socket = E.module("socket")
    select = E.module("select")
    poller = select.poll()
    listener = socket.socket()
    listener.bind(("", PORT))
    listener.listen(5)
    poller.register(listener, select.POLLIN)
    E.print(await E.aw(poller.poll(0)))
    while True:
        await E.y()
        for sock, events in await E.aw(poller.ipoll(10_000)):
            if sock is listener:
                client = (await E.aw(listener.accept()))[0]
                poller.register(client, select.POLLIN)
            elif events & select.POLLIN:
                await E.aw(sock.send(b"got " + await E.aw(sock.recv(1024))))
                poller.unregister(sock)
                sock.close()
"""


def test_one_task_serves_several_clients_by_poll(micropython: MicroPython) -> None:
    with running(micropython, f"PORT = {(port := free_port())}\n{POLLING}", "return lines()") as end:
        with ExitStack() as stack:
            first = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
            assert [ask(port, b"b"), ask(port, b"c")] == [b"got b", b"got c"]
            first.sendall(b"a")
            assert first.recv(100) == b"got a"
        assert end() == ["[]"]


def test_poll_says_what_a_socket_has_and_select_sorts_it(micropython: MicroPython) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4)
        connection.sendall(b"one\ntwo\n")
        connection.recv(4)

    body = """
        select = E.module("select")
        errno = E.module("errno").errorcode
        poller = select.poll()
        s = await connect(PORT)
        poller.register(s)
        E.print([events for _, events in await E.aw(poller.poll())])
        poller.modify(s, select.POLLIN)
        E.print(await E.aw(poller.poll(1)), await E.aw(select.select([s], [], [s], 0.001)))
        await E.aw(s.send(b"go"))
        E.print([(sock is s, events) for sock, events in await E.aw(poller.poll())], await E.aw(s.readline()))
        readers, writers, exceptional = await E.aw(select.select([s], [s], []))
        E.print(readers == [s], writers == [s], exceptional)
        E.print(len(await E.aw(poller.ipoll(1000, 1))), len(await E.aw(poller.ipoll(0))))
        s.close()
        E.print([events for _, events in await E.aw(poller.poll())])
        for wrong in (lambda: poller.register(5), lambda: select.poll().modify(s, 1)):
            try:
                wrong()
            except OSError as exc:
                E.print(errno[exc.errno])
    """
    with serving(answer) as port:
        lines = asked(micropython, body.replace("PORT", str(port)))
    assert lines == [
        *("[4]", "[] ([], [], [])", "[(True, 1)] b'one\\n'", "True True []"),
        *("1 0", "[16]", "EINVAL", "ENOENT"),
    ]


def test_a_chip_is_asked_for_errors_and_hang_ups_too(micropython: MicroPython) -> None:
    chip = """
import io
import netport
class Chip(io.IOBase):  # a socket that tells only what it is asked for, as an ESP32's
    def ioctl(self, request, mask):
        return mask if request == 3 else -1
async def main():
    return netport.events(Chip())
run(main)
"""
    assert micropython.run(chip) == 1 | 4 | 8 | 16


def test_servers_that_misbehave_end_in_an_error_or_a_limit(micropython: MicroPython) -> None:
    silent = threading.Event()

    def never(_connection: socket.socket) -> None:
        silent.wait()

    def reset(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def drip(connection: socket.socket) -> None:
        connection.recv(1)
        for _ in range(20):
            connection.sendall(b"x")

    def flood(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(bytes(10_000_000))

    body = """
        for seconds, port in zip((0.2, 60, 60, 60), PORTS):
            s = await connect(port)
            s.settimeout(seconds)
            await E.aw(s.send(b"x"))
            E.print(await fault(E.aw(s.read())))
            s.close()
        E.print(await fault(connect(CLOSED)))
    """
    with ExitStack() as stack:
        ports = [stack.enter_context(serving(handle)) for handle in (never, reset, drip, flood)]
        text = body.replace("PORTS", str(ports)).replace("CLOSED", str(free_port()))
        lines = asked(micropython, text)
        silent.set()
    assert lines == ["ETIMEDOUT", "ECONNRESET", f"b'{'x' * 20}'", "MemoryError", "ECONNREFUSED"]


def test_a_program_has_four_sockets_whether_they_are_open_or_listen(micropython: MicroPython) -> None:
    body = """
        unused = [socket.socket() for _ in range(100)]
        for _ in range(20):
            await fault(connect(CLOSED))
        kept = []
        for _ in range(20):
            try:
                kept.append(await connect(PORT))
            except OSError as exc:
                last = exc.errno
        E.print(len(kept), last)
        kept[0].close()
        kept[0] = await connect(PORT)
        await E.aw(kept[1].send("x"))
        E.print(await E.aw(kept[1].read()))
        forgotten = await connect(PORT)
        E.print(await fault(E.aw(kept[1].recv(1))))
    """

    def close_after_a_byte(connection: socket.socket) -> None:
        connection.recv(1)

    with serving(close_after_a_byte) as port:
        text = body.replace("PORT", str(port)).replace("CLOSED", str(free_port()))
        assert asked(micropython, text) == ["4 23", "b''", "EBADF"]


def test_only_hosts_and_ports_that_a_person_saw_are_reached(micropython: MicroPython) -> None:
    body = """
        for host, port in (("evil.example", 80), ("server.example", 443), ("SERVER.example", 81), ("198.51.100.9", 80)):
            E.print(await fault(E.aw(socket.getaddrinfo(host, port))), await fault(connect(port, host)))
        for host in ("127.0.0.1", "loop.example", "inside.example", "0.0.0.0", "224.0.0.1", "255.255.255.255"):
            E.print(await fault(E.aw(socket.socket().connect((host, 80)))))
            socket.deinit()
        for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                socket.socket(socket.AF_INET, kind)
            except OSError as exc:
                E.print(exc)
        listener = socket.socket()
        listener.bind(("0.0.0.0", 80))
        try:
            listener.listen(1)
        except OSError as exc:
            E.print(exc.errno)
    """
    hosts = ("server.example:80", "127.0.0.1", "loop.example", "inside.example", "0.0.0.0", "224.0.0.1")
    lines = asked(micropython, body, (*hosts, "255.255.255.255"))
    assert lines == [
        *["EACCES EACCES"] * 4,
        *["EACCES"] * 6,
        *["[Errno 95] EOPNOTSUPP: programs have TCP only: no UDP and no raw sockets"] * 2,
        "13",
    ]


RULES = """
import net_rules
class Wlan:
    def isconnected(self):
        return True
    def ifconfig(self):
        return ("192.168.1.60", "255.255.255.0", "192.168.1.1", "192.168.1.1")
class AccessPoint:
    def active(self):
        return True
    def ifconfig(self):
        return ("192.168.4.1", "255.255.255.0", "192.168.4.1", "0.0.0.0")
class Network:
    AP_IF = 1
    def WLAN(self, kind):
        return AccessPoint()
class Settings:
    address = "192.168.1.20"
    def get(self, name, default=None):
        return {"host": "claw.local", "host_name": "192.168.1.21", "port": 9443}.get(name, default)
class Board:
    network = Network()
    settings = Settings()
    def wlan(self):
        return Wlan()
async def main():
    return [net_rules.refusal(address, name, port, Board(), WRITTEN) is None for address, name, port in ROWS]
run(main)
"""
ALLOWED = [
    ("203.0.113.5", "api.example.org", 443),
    ("192.168.1.7", "192.168.1.7", 80),
    ("192.168.1.7", "nas.local", 80),
    ("10.0.0.2", "nas", 80),
    ("192.168.178.3", "Lamp.fritz.box", 80),
    ("172.15.0.1", "api.example.org", 80),
    ("172.32.0.1", "api.example.org", 80),
]
OF_THE_HOST = [
    ("192.168.1.20", "192.168.1.20", 1883),
    ("192.168.1.21", "192.168.1.21", 1883),
]
"""A broker on the host's computer: reached only if the program's hosts have its address and port."""
REFUSED = [
    *((address, "api.example.org", 80) for address in ("10.0.0.2", "192.168.1.7", "172.16.0.1", "172.31.255.9")),
    *((address, "api.example.org", 80) for address in ("169.254.169.254", "100.64.0.1", "100.127.0.1")),
    *((address, address, 80) for address in ("127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "224.0.0.251")),
    *((address, address, 80) for address in ("239.1.1.1", "240.0.0.1", "255.255.255.255")),
    ("127.0.0.1", "api.example.org", 80),
    ("127.0.0.1", "nas.local", 80),
    ("192.168.1.60", "192.168.1.60", 80),
    ("192.168.1.255", "192.168.1.255", 80),
    # The page by which a person gives the board its network.
    ("192.168.4.1", "192.168.4.1", 80),
    ("192.168.1.20", "192.168.1.20", 9443),
    ("192.168.1.20", "other.local", 9000),
    ("192.168.1.20", "claw.local", 9443),
    ("192.168.1.20", "claw.local", 1883),
    ("192.168.1.20", "CLAW.local", 9443),
    ("::1", "::1", 80),
    ("127.1", "127.1", 80),
    ("0x7f.0.0.1", "0x7f.0.0.1", 80),
]


def test_addresses_that_no_program_reaches(micropython: MicroPython) -> None:
    rows = ALLOWED + REFUSED + OF_THE_HOST
    for is_written_out in (False, True):
        wanted = [True] * len(ALLOWED) + [False] * len(REFUSED) + [is_written_out] * len(OF_THE_HOST)
        program = RULES.replace("ROWS", repr(rows)).replace("WRITTEN", repr(is_written_out))
        assert micropython.run(program) == wanted


@pytest.mark.parametrize(
    ("ending", "step"),
    [("raise SystemExit", ""), ("raise ValueError", ""), ("await E.sleep_ms(60000)", 'await runner.stop("p")')],
)
def test_sockets_that_a_program_forgot_are_closed_at_its_end(micropython: MicroPython, ending: str, step: str) -> None:
    def note_end(connection: socket.socket) -> None:
        number = connection.recv(1).decode()
        if connection.recv(1) == b"":
            (micropython.folder / f"closed{number}").touch()

    body = """
    for number in range(3):
        connection = await connect(PORT)
        await E.aw(connection.send(str(number)))
    connection = None
    E.print("opened")
"""
    with serving(note_end) as port:
        micropython.compile("p", f"async def main(E):{CONNECT}{body.replace('PORT', str(port))}    {ending}\n")
        count = micropython.run(f"""
import lan
import os
def closed():
    return len([name for name in os.listdir(FOLDER) if name.startswith("closed")])
async def main():
    runner = new_runner()
    await install(runner, "p", hosts=["server.example"], heap=16384)
    await until(lambda: lines())
    {step}
    await until(lambda: closed() == 3)
    return closed()
run(main)
""")
    assert count == 3


def test_many_clients_half_requests_and_resets_are_borne_and_a_blink_goes_on(micropython: MicroPython) -> None:
    port = free_port()
    steps = """
end = runner.edges(1 << 30)["cursor"]
await until(lambda: runner.edges(end)["edges"])
return [row(runner, "p")["state"], events("app.crash")]
"""
    with running(micropython, echo(port), steps) as end:
        answers: list[bytes] = []
        clients = [threading.Thread(target=lambda: answers.append(ask(port))) for _ in range(8)]
        with ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for client in clients:
                client.start()
            for client in clients:
                client.join(PATIENCE_S)
        broken = socket.create_connection(("127.0.0.1", port))
        broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        broken.close()
        assert ask(port) == b"got hello"
        assert end() == ["running", []]
    assert answers == [b"got hello"] * 8


@pytest.mark.parametrize("how", ["await runner.stop('p')", "await runner.remove('p')"])
def test_a_program_that_ends_closes_what_it_opened(micropython: MicroPython, how: str) -> None:
    port = free_port()
    steps = f"""
{how}
while "seen" not in os.listdir(FOLDER):
    await asyncio.sleep_ms(5)
return 1
"""
    program = echo(port).replace("settimeout(3)", "settimeout(60)")
    with ExitStack() as stack:
        end = stack.enter_context(running(micropython, program, steps))
        open_one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
        ended = threading.Thread(target=end)
        ended.start()
        # Reset: the program had not accepted it yet.
        with suppress(ConnectionResetError):
            assert open_one.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            ask(port)
        (micropython.folder / "seen").touch()
        ended.join(PATIENCE_S)


STREAMS = """
async def main(E):
    asyncio = E.module("asyncio")
    async def serve(reader, writer):
        name = await E.aw(reader.readline())
        size = await E.aw(reader.readexactly(3))
        writer.write(b"%s %s" % (name.strip(), size))
        await E.aw(writer.drain())
        writer.close()
        await E.aw(writer.wait_closed())
    server = await E.aw(asyncio.start_server(serve, "0.0.0.0", PORT))
    E.print("listening")
    await E.sleep(100)
"""


def test_streams_of_asyncio_serve_many_and_a_client_that_leaves_is_no_crash(micropython: MicroPython) -> None:
    port = free_port()
    # The half client's end is seen in its time.
    steps = "await until(lambda: events('app.crash') or lines()[1:])\nreturn [lines(), events('app.crash')]"
    with running(micropython, f"PORT = {port}\n{STREAMS}", steps) as end:
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(b"me")
            answers: list[bytes] = []
            clients = [threading.Thread(target=lambda: answers.append(ask(port, b"lamp\n123"))) for _ in range(12)]
            for client in clients:
                client.start()
            for client in clients:
                client.join(PATIENCE_S)
        lines, crashes = end()
    assert answers == [b"lamp 123"] * 12
    assert crashes == []
    assert lines == ["listening", "a client went away: EOFError()"]


def test_a_stream_asks_a_server(micropython: MicroPython) -> None:
    body = """
        asyncio = E.module("asyncio")
        reader, writer = await E.aw(asyncio.open_connection("server.example", PORT))
        writer.write("hello\\n")
        await E.aw(writer.drain())
        E.print(await E.aw(reader.read(3)), await E.aw(reader.read()))
        writer.close()
        await E.aw(writer.wait_closed())
        E.print(await fault(asyncio.open_connection("evil.example", PORT)))
    """

    def answer(connection: socket.socket) -> None:
        connection.sendall(connection.recv(100).upper())

    with serving(answer) as port:
        lines = asked(micropython, body.replace("PORT", str(port)))
    assert lines == ["b'HEL' b'LO\\n'", "EACCES"]


def test_a_stream_that_is_only_closed_makes_room_and_one_that_waits_sends_the_rest(micropython: MicroPython) -> None:
    body = """
        asyncio = E.module("asyncio")
        for n in range(10):
            reader, writer = await E.aw(asyncio.open_connection("server.example", PORT))
            writer.write("hello")
            if n % 2:
                await E.aw(writer.drain())
                E.print(await E.aw(reader.read(5)))
                writer.close()
            else:
                writer.close()
                await E.aw(writer.wait_closed())
        writer.close()
        await E.aw(writer.wait_closed())
    """
    received: queue.Queue[bytes] = queue.Queue()

    def answer(connection: socket.socket) -> None:
        data = connection.recv(100)
        received.put(data)
        connection.sendall(data.upper())
        connection.recv(100)

    with serving(answer) as port:
        assert asked(micropython, body.replace("PORT", str(port))) == ["b'HELLO'"] * 5
        assert [received.get(timeout=PATIENCE_S) for _ in range(10)] == [b"hello"] * 10
