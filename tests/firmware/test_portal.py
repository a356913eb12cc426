"""The board's own access point: when it opens and closes, its page by a real HTTP client, and what a stranger sends."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.firmware.conftest import PATIENCE_S, Firmware
from tests.postgres import free_port

HOME = {"ssid": "home", "password": "old secret"}
KEY = "k4mzq7wxdr"


class Portal:
    """The page as a phone has it."""

    def __init__(self, board: Firmware, air: Path, ports: tuple[int, int]) -> None:
        self.board = board
        self.air = air
        self.port, self.names_port = ports

    def hears(self, networks: dict[str, str | None]) -> None:
        new = self.air.with_suffix(".new")
        new.write_text(json.dumps({"networks": networks}))
        new.rename(self.air)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, str]:
        """Status, text, where to."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            client.request(method, path, body or None, headers)
            answer = client.getresponse()
            return answer.status, answer.read().decode(), answer.headers.get("Location", "")
        finally:
            client.close()

    def enter(self, **fields: str | bytes) -> tuple[int, str]:
        body = urlencode({"ssid": "", "other": "", "password": "", **fields}).encode()
        return self.ask("POST", "/", body)[:2]

    def raw(self, data: bytes) -> bytes:
        """The bytes until the end; less where the board's end was not read to the end."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            try:
                connection.sendall(data)
                while piece := connection.recv(4096):
                    answer += piece
            except ConnectionError:
                pass  # it closed while more was on its way
        return answer


@pytest.fixture
def portal(board: Firmware, tmp_path: Path) -> Portal:
    """A board that knows `home`, which is not there, and offers its access point after a second."""
    made = Portal(board, tmp_path / "air.json", (free_port(), free_port(socket.SOCK_DGRAM)))
    board.boot = "tests/firmware/simulated/boot_radio.py"
    board.environ["MICROCLAW_AIR"] = str(made.air)
    evil = {f"evil{sign}31m": None for sign in ("\x1b", "\n", "\x9b", "\u202e")}
    made.hears({"café": "wifi pass 1", "<b>\"&'": None, **evil, "\u00a0quiet": None})
    told = {"wifi": [HOME], "ap_key": KEY, "ap_after_s": 1, "ap_ports": [made.port, made.names_port]}
    board.write("settings.json", json.dumps({**told, "secret": "N5XGY6JNMFXC", "ca_sha256": "ab" * 32}))
    return made


@asynccontextmanager
async def opened(portal: Portal, **settings: Any) -> AsyncIterator[None]:
    """The board runs, and its access point is open."""
    portal.board.write("settings.json", json.dumps({**portal.board.read("settings.json"), **settings}))
    async with portal.board.running(), asyncio.timeout(PATIENCE_S):
        await portal.board.until("is open: http://127.0.0.1/")
        yield


async def test_it_never_opens_without_a_key(portal: Portal) -> None:
    portal.board.write("settings.json", json.dumps({**portal.board.read("settings.json"), "ap_key": ""}))
    async with portal.board.running(), asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            await portal.board.until("radio: tries home")
    assert not any("access point" in line for line in portal.board.lines)


async def test_a_network_from_its_page_is_joined_and_it_closes_and_a_wrong_password_is_told(portal: Portal) -> None:
    async with portal.board.running(), asyncio.timeout(PATIENCE_S):
        await portal.board.until("radio: tries home")  # it is not found
        await portal.board.until("radio: access point on")
        told = json.loads((await portal.board.until('{"')).removeprefix("radio: "))
        assert told == {"ssid": "microclaw-ab0c", "security": 3, "key": KEY, "max_clients": 2}
        await portal.board.until("the access point is open")
        status, page, _ = await asyncio.to_thread(portal.ask, "GET", "/")
        assert status == 200
        assert '<option value="café">café</option>' in page
        assert '<option value="&lt;b&gt;&quot;&amp;&#39;">' in page
        assert 'value="\u00a0quiet"' in page
        for hidden in ("<b>", "evil", "old secret", "N5XGY6JNMFXC", "abab", KEY):
            assert hidden not in page
        await asyncio.to_thread(portal.enter, ssid="café", password="not this one")
        await portal.board.until("radio: tries home")  # the round went on to the next
        while "No connection to café" not in page:
            await asyncio.sleep(0.1)  # the page is made when it is asked for
            page = (await asyncio.to_thread(portal.ask, "GET", "/"))[1]
        assert "not this one" not in page
        status, page = await asyncio.to_thread(portal.enter, ssid="café", password="wifi pass 1")
        assert (status, "tries <b>café</b>" in page) == (200, True)
        await portal.board.until("radio: tries café")
        await portal.board.until("the access point is closed")
    told = portal.board.read("settings.json")
    assert told["wifi"] == [{"ssid": "café", "password": "wifi pass 1"}, HOME]
    assert (told["ap_key"], told["secret"]) == (KEY, "N5XGY6JNMFXC")


@pytest.mark.parametrize("comes_back", [True, False])
async def test_it_closes_when_a_known_network_is_back_and_by_itself(portal: Portal, comes_back: bool) -> None:
    async with opened(portal, ap_open_s=30 if comes_back else 1):
        if comes_back:
            portal.hears({"home": "old secret"})
            await portal.board.until("radio: tries home")
            await portal.board.until("the access point is closed")
        else:
            await portal.board.until("radio: access point off")
            await portal.board.until("radio: tries home")
            await portal.board.until("is open: http://127.0.0.1/")  # later again
    assert portal.board.read("settings.json")["wifi"] == [HOME]


HOSTILE = [
    (b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 200_000, b" 413 "),
    (b"GET / HTTP/1.1\r\n" + b"X-More: y\r\n" * 20_000, b" 413 "),
    (b"x" * 5_000, b" 413 "),
    (b"POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", b" 413 "),
    (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", b" 400 "),
    (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b" 400 "),
    (b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\na=%%", b" 400 "),
    (b"POST / HTTP/1.1\r\n\r\n", b" 400 "),
    (b"\xff\xfe / HTTP/1.1\r\n\r\n", b" 400 "),
    (b"nonsense\r\n\r\n", b" 400 "),
    (b"DELETE / HTTP/1.1\r\n\r\n", b" 405 "),
    (b"POST /settings.json HTTP/1.1\r\n\r\n", b" 405 "),
]
NO_NETWORKS: list[tuple[str | bytes, str]] = [
    *(("", ""), ("x" * 33, ""), ("\u00e9" * 17, ""), (b"\xff\xfe", ""), ("a\nb", ""), ("a\0b", "")),
    *(("attic", "x" * 64), ("attic", "short")),
]


def every_name_is_the_board(port: int) -> None:
    """Also after questions that are none."""
    question = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\x07example\x03com\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(60)
        asking.connect(("127.0.0.1", port))
        for bad in (b"", b"\0" * 5, question, b"\xff" * 512, question[:2] + b"\x81" + question[3:] + b"\0\1\0\1"):
            asking.send(bad)
        asking.send(question + b"\0\1\0\1")
        got = asking.recv(512)
        assert (got[:2], got[-6:]) == (b"\x12\x34", b"\0\4" + socket.inet_aton("127.0.0.1"))
        asking.send(question + b"\0\x1c\0\1")
        assert asking.recv(512)[4:8] == b"\0\1\0\0", "no IPv6 address"


async def test_what_strangers_send_changes_nothing_and_the_next_is_answered(portal: Portal) -> None:
    async with opened(portal):
        before = portal.board.read("settings.json")
        await asyncio.to_thread(every_name_is_the_board, portal.names_port)
        for data, wanted in HOSTILE:
            answer = await asyncio.to_thread(portal.raw, data)
            assert wanted in answer[:20] or (not answer and len(data) > 1000), data[:60]
        for name, password in NO_NETWORKS:
            assert (await asyncio.to_thread(portal.enter, other=name, password=password))[0] == 400, name
        for path in ("/generate_204", "/settings.json", "//evil", "/../credential.json"):
            assert await asyncio.to_thread(portal.ask, "GET", path) == (302, "", "http://127.0.0.1/")
        # Our DNS answers every name with the board: any page could be one of its origin.
        form = urlencode({"other": "evil-ap"}).encode()
        for method, data, headers, status in (
            ("GET", b"", {"Host": "evil.example"}, 302),
            ("POST", form, {"Host": "evil.example"}, 403),
            ("POST", form, {"Origin": "http://evil.example"}, 403),
            ("POST", form, {"Origin": "null"}, 403),
        ):
            answered = await asyncio.to_thread(
                lambda *of, **more: portal.ask(*of, **more), method, "/", data, **headers
            )
            assert answered[0] == status, headers
        # Slow bytes and silence are cut off.
        reader, writer = await asyncio.open_connection("127.0.0.1", portal.port)
        silent = await asyncio.open_connection("127.0.0.1", portal.port)
        writer.write(b"GET / HT")
        page = asyncio.create_task(asyncio.to_thread(portal.ask, "GET", "/"))
        assert await reader.read() == b""
        assert (await page)[0] == 200
        for stream in (writer, silent[1]):
            stream.close()
        assert portal.board.read("settings.json") == before
        # A flash that takes nothing is told, and nothing is tried.
        (portal.board.folder / "settings.json.new").mkdir()
        assert (await asyncio.to_thread(portal.enter, other="attic"))[0] == 500
        assert portal.board.read("settings.json") == before
        (portal.board.folder / "settings.json.new").rmdir()
        await asyncio.to_thread(portal.enter, other="attic", host="evil", ca_sha256="0" * 64, ap_key="aaaaaaaaaa")
        assert portal.board.read("settings.json") == {**before, "wifi": [{"ssid": "attic"}, HOME]}
