"""https requests of programs: the firmware on the unix port, a real host and a real TLS server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.firmware.conftest import PATIENCE_S, SMALL, Firmware, Plane, linked, provisioned
from tests.firmware.programs import image, install
from tests.host.egress.proxying import (
    HOST,
    Names,
    client_tls,
    loopback_is_public,
    moved,
    page,
    server,
    server_tls,
    site,
)

from microclaw.devices.link.device_link import DeviceLink
from microclaw.events import DeviceLeft, DeviceLog
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.program_fetch import ProgramFetcher
from microclaw.network_use import NetworkUse

NETWORK = NetworkUse(hosts=(HOST,))
ASK = """
async def main(E):
    api = E.module("microclaw")
    errors = E.module("errno").errorcode
    async def ask(path, method="GET", body=None, timeout=20):
        try:
            status, headers, data = await api.fetch(method, {place!r} + path, {{"X-Key": "k"}}, body, timeout)
            E.print(path, status, len(data), headers.get("x-test"))
        except OSError as exc:
            E.print(path, errors[exc.errno], exc.args[-1])
    {body}
    E.print("over")
"""


@pytest.fixture
def fetching(plane: Plane) -> None:
    """The plane's host makes fetches, for `HOST` on loopback."""

    async def network_of(_device_id: str, app: str) -> NetworkUse | None:
        return NETWORK if app == "weather" else None

    fetches = plane.links.parts.fetches
    fetches.fetcher = ProgramFetcher(Egress(resolve=Names(), is_public=loopback_is_public, own=tuple), tls=client_tls)
    fetches.network_of = network_of


@pytest.fixture
def small(board: Firmware) -> Firmware:
    """A board without PSRAM."""
    board.words = (str(SMALL), "-X", "heapsize=160K")
    return board


async def printed(plane: Plane, device: DeviceLink, folder: Path, body: str, port: int = 443) -> list[str]:
    """What the program prints until it is over."""
    source = ASK.format(place=f"https://{HOST}:{port}", body=body.replace("\n", "\n    "))
    await install(device, "weather", image(folder, "weather", source), 16_384, hosts=[HOST])
    return await lines(plane)


async def lines(plane: Plane) -> list[str]:
    found: list[str] = []
    while "over" not in found:
        line = await plane.published.until(DeviceLog)
        if line.source == "weather":
            found.append(line.text)
    return found[:-1]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """Answer with the request's body and its header."""
    fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if b": " in line)
    body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
    writer.write(b"HTTP/1.1 201 Created\r\nX-Test: %s\r\n" % fields[b"x-key"])
    writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _head: bytes) -> None:
    await reader.read()


async def test_bodies_pass_both_ways_and_what_is_refused_is_an_error(
    plane: Plane, small: Firmware, fetching: None, tmp_path: Path
) -> None:
    await provisioned(plane, small)
    body = """await ask("/a")
await ask("/b", "POST", "x" * 8192)
await ask("/c", "POST", "x" * 8193)
await ask("/d", "CONNECT")
await ask("/e", timeout=0)"""
    async with server(echo, tls=server_tls(tmp_path)) as web, linked(plane, small) as device:
        found = await printed(plane, device, tmp_path, body, web.port)
    assert found[:2] == ["/a 201 0 k", "/b 201 8192 k"]
    assert [line.split(" ")[1] for line in found[2:]] == ["ENOBUFS", "EACCES", "ETIMEDOUT"]
    assert web.targets == ["/a", "/b"]


async def test_a_long_answer_a_redirect_and_a_private_name_are_refused_in_words(
    plane: Plane, small: Firmware, fetching: None, tmp_path: Path
) -> None:
    answers: dict[str, Callable[[], bytes]] = {
        "/long": lambda: page(bytes(10_000)),
        "/to": lambda: moved("https://127.0.0.1/"),
        "/other": lambda: moved("https://other.example/"),
    }
    await provisioned(plane, small)
    body = "\n".join(f"await ask({path!r})" for path in answers)
    async with site(lambda path: answers[path](), server_tls(tmp_path)) as web, linked(plane, small) as device:
        found = await printed(plane, device, tmp_path, body, web.port)
    assert found[0] == "/long ENOBUFS the answer has more than 8,192 bytes"
    assert found[1].startswith("/to EACCES 127.0.0.1:443 is none of this program's hosts")
    assert found[2].startswith("/other EACCES other.example:443 is none of this program's hosts")


async def test_twenty_at_once_wait_for_their_turns(
    plane: Plane, board: Firmware, fetching: None, tmp_path: Path
) -> None:
    await provisioned(plane, board)
    body = (
        'gather = E.module("asyncio").gather\nfor half in range(2):\n    await gather(*[ask("/x") for _ in range(10)])'
    )
    async with server(echo, tls=server_tls(tmp_path)) as web, linked(plane, board) as device:
        found = await printed(plane, device, tmp_path, body, web.port)
        assert found == ["/x 201 0 k"] * 20
        assert len(web.seen) == 20
        assert device.connections == 1


async def test_a_host_that_goes_away_ends_what_is_under_way_and_the_program_goes_on(
    plane: Plane, board: Firmware, fetching: None, tmp_path: Path
) -> None:
    await provisioned(plane, board)
    body = 'await ask("/a")\nawait ask("/b")'
    source = ASK.format(place="https://" + HOST + ":%d", body=body.replace("\n", "\n    "))
    async with server(silent, tls=server_tls(tmp_path)) as web, linked(plane, board) as device:
        source = source.replace("%d", str(web.port))
        await install(device, "weather", image(tmp_path, "weather", source), 16_384, hosts=[HOST])
        await web.news.wait()
        device.close(1001, "away")
        await plane.published.until(DeviceLeft)
        async with asyncio.timeout(PATIENCE_S):
            found = await lines(plane)
    assert found[0] == "/a EHOSTUNREACH the host went away"
    assert found[1].startswith("/b EHOSTUNREACH the host is away")
