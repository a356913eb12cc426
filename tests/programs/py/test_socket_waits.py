"""What is awaited in a program that uses the network: sockets, and functions of the firmware that wait for it."""

from __future__ import annotations

import pytest
from tests.programs.py.conftest import Build

from microclaw.errors import BuildError

GET = """import socket
sock = socket.socket()
address = socket.getaddrinfo("example.org", 80)[0][-1]
sock.connect(address)
sock.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(sock.recv(100))
"""


async def lines_of(build_py: Build, source: str) -> list[str]:
    """The rewritten lines, without the spaces before them."""
    return [line.strip() for line in (await build_py(source)).rewritten.splitlines()]


@pytest.mark.parametrize("module", ["socket", "usocket as socket"])
async def test_what_a_socket_answers_is_awaited(build_py: Build, module: str) -> None:
    lines = await lines_of(build_py, GET.replace("import socket", f"import {module}"))
    assert "address = (await socket.getaddrinfo('example.org', 80))[0][-1]" in lines
    assert "await E.aw(sock.connect(address))" in lines
    assert "E.print(await E.aw(sock.recv(100)))" in lines


async def test_a_function_that_waits_for_a_socket_is_a_coroutine_for_its_callers(build_py: Build) -> None:
    source = "import socket\ndef ask(sock):\n    return sock.read(5)\nprint(ask(socket.socket()))\n"
    lines = await lines_of(build_py, source)
    assert "async def ask(sock):" in lines
    assert "E.print(await ask(socket.socket()))" in lines


@pytest.mark.parametrize("module", ["select", "uselect as select"])
async def test_what_poll_and_select_wait_for_is_awaited(build_py: Build, module: str) -> None:
    source = f"""import {module}
import socket
poller = select.poll()
sock = socket.socket()
poller.register(sock, select.POLLIN)
for ready, events in poller.ipoll(1000):
    print(events, poller.poll(5))
print(select.select([sock], [], []))
"""
    lines = await lines_of(build_py, source)
    assert "poller = select.poll()" in lines
    assert "poller.register(sock, select.POLLIN)" in lines
    assert "for ready, events in await E.aw(poller.ipoll(1000)):" in lines
    assert "E.print(events, await E.aw(poller.poll(5)))" in lines
    assert "E.print(await select.select([sock], [], []))" in lines


@pytest.mark.parametrize(
    "source",
    [
        "from machine import UART\nuart = UART(1, 9600, tx=4, rx=5)\nuart.write(b'x')\n",
        "from machine import SPI\nclass Display:\n    def __init__(self):\n"
        "        self.spi = SPI(1)\n        self.spi.write(b'x')\nDisplay()\n",
        "with open('a') as file:\n    file.write('x')\n",
        "import network\nwlan = network.WLAN(network.STA_IF)\nwlan.connect('home', 'secret')\n",
        "import sys\nsys.stdout.write('x')\n",
        "class Log:\n    def write(self, text): print(text)\nLog().write('x')\n",
    ],
)
async def test_what_is_known_to_be_no_socket_is_not_awaited(build_py: Build, source: str) -> None:
    image = await build_py(f"import socket\n{source}")
    assert "await" not in image.rewritten


async def test_a_program_without_sockets_awaits_none_of_these_names(build_py: Build) -> None:
    image = await build_py("import asyncio\ndef ask(bus):\n    return bus.read(5)\nprint(ask)\n")
    assert "await" not in image.rewritten


async def test_a_method_that_is_kept_as_a_value_is_awaited_where_it_is_called(build_py: Build) -> None:
    source = "import socket\nclass Line:\n    def __init__(self, sock):\n        self.next = sock.readline\n"
    lines = await lines_of(build_py, f"{source}line = Line(socket.socket())\nprint(line.next())\n")
    assert "E.print(await E.aw(line.next()))" in lines


async def test_a_program_of_tasks_awaits_its_connections_itself(build_py: Build) -> None:
    source = """import asyncio
async def serve(reader, writer):
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.write(line)
    await writer.drain()
async def main():
    await asyncio.start_server(serve, "0.0.0.0", 80)
    reader, writer = await asyncio.open_connection("example.org", 80)
    print(await reader.read(5))
asyncio.run(main())
"""
    image = await build_py(source)
    assert "E.aw" not in image.rewritten


@pytest.mark.parametrize(
    ("source", "step"),
    [
        ("import network\nap = network.WLAN(network.AP_IF)\n", "listen on port 80"),
        ("import network\nap = network.WLAN(network.AP_IF)\nap.active(False)\nap.active(True)\n", "listen on port 80"),
        (
            "import network\nclass Net:\n    def __init__(self):\n        self.ap = network.WLAN(network.AP_IF)\n"
            "        self.ap.active(True)\nNet()\n",
            "listen on port 80",
        ),
        ("import network\nwlan = network.WLAN(network.STA_IF)\nprint(wlan.scan())\n", "leave it out"),
        (
            "import network\ndef connected():\n    wlan = network.WLAN(network.STA_IF)\n    return wlan\n"
            "wlan = connected()\nprint(wlan.scan())\n",
            "leave it out",
        ),
        ("import network\nlan = network.LAN()\n", "network.STA_IF"),
        ("import socket\nsock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n", "use TCP"),
        ("import ssl\n", "https://"),
        ("import espnow\n", "umqtt.simple"),
        ("import bluetooth\n", "Wi-Fi"),
        ("from microdot import Microdot\n", "from microclaw import web"),
    ],
)
async def test_what_no_program_may_have_of_the_network_is_refused_with_the_way_that_exists(
    build_py: Build, source: str, step: str
) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(source)
    (found,) = caught.value.diagnostics
    assert found.explanation
    assert step in (found.hint or "")


async def test_a_program_may_start_itself_again(build_py: Build) -> None:
    image = await build_py("import machine\nmachine.reset()\nmachine.soft_reset()\n")
    assert "machine.reset()" in image.rewritten


@pytest.mark.parametrize(
    "source",
    [
        "network.WLAN(network.AP_IF).active(False)\n",
        "ap = network.WLAN(network.WLAN.IF_AP)\nif ap.active():\n    ap.active(0)\n",
        "def off():\n    ap = network.WLAN(network.AP_IF)\n    ap.active(False)\noff()\n",
        "class Net:\n    def __init__(self):\n        self.ap = network.WLAN(network.AP_IF)\n"
        "        self.ap.active(False)\nNet()\n",
    ],
)
async def test_an_access_point_may_be_switched_off(source: str, build_py: Build) -> None:
    assert (await build_py(f"import network\n{source}")).warnings == ()


async def test_a_client_that_can_do_both_is_warned_of_tls_and_others_are_refused(build_py: Build) -> None:
    source = "class Client:\n    def connect(self, tls):\n        if tls:\n            import ussl\n            ussl\n"
    image = await build_py(f"{source}Client().connect(False)\n")
    assert [(warning.line, warning.message) for warning in image.warnings] == [
        (4, "there is no ussl: the program fails if it comes to this line")
    ]
    with pytest.raises(BuildError):
        await build_py("if True:\n    import ussl\n    print(ussl)\n")
