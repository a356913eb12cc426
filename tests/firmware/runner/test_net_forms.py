"""A program that writes a host in a strange way, or lies about its type, connects to nothing on the unix port."""

from __future__ import annotations

import socket

from tests.firmware.runner.conftest import MicroPython
from tests.firmware.runner.test_net import asked, serving
from tests.network_forms import FORMS

MOST_HOSTS = 16
LIARS = """
class Name(str):
    def lower(self):
        return "server.example"
    def split(self, *_):
        return ["8", "8", "8", "8"]
    def __hash__(self):
        return hash("server.example")
    def __eq__(self, other):
        return True
class Port:
    def __init__(self, *numbers):
        self.numbers = list(numbers)
    def __int__(self):
        return self.numbers.pop(0)
    def __eq__(self, other):
        return True
    def __hash__(self):
        return 1
"""
TRIED = """
async def tried(host, port):
    try:
        await E.aw(socket.socket().connect((host, port)))
        return "connected"
    except (OSError, TypeError, UnicodeError):
        return "no"
    finally:
        socket.deinit()
"""


def refused(micropython: MicroPython, tries: str, hosts: tuple[str, ...]) -> list[str]:
    """Return what the tries print, in which PORT is a server of this computer; nothing may have reached it."""
    clients: list[socket.socket] = []
    with serving(clients.append) as port:
        lines = asked(micropython, f"{LIARS}{TRIED}{tries}".replace("PORT", str(port)), hosts)
    assert clients == []
    return lines


def test_no_form_of_a_host_leads_to_the_board_even_if_a_record_has_it(micropython: MicroPython) -> None:
    for start in range(0, len(FORMS), MOST_HOSTS):
        forms = FORMS[start : start + MOST_HOSTS]
        recorded = tuple(form.lower() for form in forms if form and ":" not in form and " " not in form)
        tries = f"for host in {forms!r}:\n    E.print(await tried(host, PORT))\n"
        short = tuple(form for form in recorded if len(form) < 254)
        assert refused(micropython, tries, short) == ["no"] * len(forms)


def test_what_is_no_plain_text_and_no_plain_port_is_refused(micropython: MicroPython) -> None:
    tries = """
for host, port in (
    (Name("127.0.0.1"), PORT), (Name("server.example"), PORT), (b"127.0.0.1", PORT), (None, PORT),
    ("server.example", Port(1, PORT)), ("server.example", Port(1, 1, PORT)), ("server.example", True),
    ("server.example", 0), ("server.example", -1), ("server.example", 65536), ("server.example", PORT + 65536),
    ("server.example", str(PORT)), ("server.example", float(PORT)),
):
    E.print(await tried(host, port))
listener = socket.socket()
listener.bind(("", Port(9999, 9999)))
try:
    listener.listen(1)
except OSError as exc:
    E.print(exc.errno)
"""
    assert refused(micropython, tries, ("server.example",)) == ["no"] * 13 + ["13"]


def test_a_host_may_be_bytes(micropython: MicroPython) -> None:
    clients: list[socket.socket] = []
    with serving(clients.append) as port:
        tries = f"{TRIED}E.print(await tried(b'server.example', {port}))\n"
        assert asked(micropython, tries) == ["connected"]
