"""Fetches of programs over a real link and real TLS: rules L-75 to L-77, limits, and what ends with a connection."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.devices.link.conftest import Plane, ScriptedDevice, device, limits, paired, plane, scripted
from tests.host.egress.proxying import HOST, Names, client_tls, loopback_is_public, server, server_tls

from microclaw.host.audit.event import AuditEvent, AuditKind
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.program_fetch import MAX_BODY_BYTES, ProgramFetcher
from microclaw.network_use import NetworkUse
from microclaw.wire.link.messages import Envelope, ErrorMessage, Fetch, Fetched, FetchPiece

__all__ = ["device", "limits", "paired", "plane", "scripted"]


@pytest.fixture
def events(plane: Plane) -> list[AuditEvent]:
    """The security log. The host of the plane makes fetches of the program `weather`, for `HOST`."""
    recorded: list[AuditEvent] = []

    async def network_of(device_id: str, app: str) -> NetworkUse | None:
        assert device_id == plane.registry.get("lamp").device_id
        return NetworkUse(hosts=(HOST,)) if app == "weather" else None

    fetches = plane.links.parts.fetches
    egress = Egress(resolve=Names(), is_public=loopback_is_public, own=tuple)
    fetches.fetcher = ProgramFetcher(egress, record=recorded.append, tls=client_tls)
    fetches.network_of = network_of
    return recorded


def fetch(
    port: int, size: int = 0, *, app: str = "weather", most: int = MAX_BODY_BYTES, timeout_ms: int = 20_000
) -> Fetch:
    return Fetch(app, "POST" if size else "GET", f"https://{HOST}:{port}/x", {"x-key": "k"}, size, most, timeout_ms)


async def answer_of(board: ScriptedDevice, message_id: bytes) -> tuple[Fetched, bytes]:
    head = await board.next_envelope(Fetched)
    assert (head.re, head.seq) == (message_id, None)
    assert isinstance(head.body, Fetched)
    body = bytearray()
    while len(body) < head.body.size:
        piece = await board.next_envelope(FetchPiece)
        assert piece.re == message_id
        assert isinstance(piece.body, FetchPiece)
        body += piece.body.data
    return head.body, bytes(body)


async def error_of(board: ScriptedDevice, message_id: bytes) -> str:
    envelope: Envelope = await board.next_envelope(ErrorMessage)
    assert isinstance(envelope.body, ErrorMessage)
    assert (envelope.re, envelope.body.fatal) == (message_id, False)
    return envelope.body.code


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """Answer with the request's body."""
    size = next((int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")), 0)
    body = await reader.readexactly(size)
    writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\nX-Test: yes\r\n\r\n" % len(body) + body)
    await writer.drain()


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _head: bytes) -> None:
    await reader.read()


async def slow(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
    """Begin an answer, and send a byte now and then for as long as somebody reads."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_l_75_bodies_of_64_kb_pass_both_ways_in_pieces(
    paired: ScriptedDevice, events: list[AuditEvent], tmp_path: Path
) -> None:
    async with server(echo, tls=server_tls(tmp_path)) as web, paired.online() as board:
        body = bytes(range(256)) * 256
        message_id = await board.send(fetch(web.port, len(body)))
        for start in range(0, len(body), 4_096):
            await board.send(FetchPiece(body[start : start + 4_096]), re=message_id)
        head, got = await answer_of(board, message_id)
        assert (head.status, head.headers["x-test"], got) == (201, "yes", body)
        message_id = await board.send(fetch(web.port))
        assert await answer_of(board, message_id) == (Fetched(201, {"content-length": "0", "x-test": "yes"}, 0), b"")
        assert web.heads[0]["x-key"] == "k"
    assert [event.kind for event in events] == [AuditKind.EGRESS_ALLOWED] * 2
    assert events[0].about == "weather on lamp"


async def test_an_unknown_program_a_size_over_the_limit_and_an_answer_over_most_are_refused(
    paired: ScriptedDevice, events: list[AuditEvent], plane: Plane, tmp_path: Path
) -> None:
    async with server(echo, tls=server_tls(tmp_path)) as web, paired.online() as board:
        assert await error_of(board, await board.send(fetch(web.port, app="other"))) == "fetch_refused"
        assert await error_of(board, await board.send(fetch(web.port, MAX_BODY_BYTES + 1))) == "fetch_too_large"
        message_id = await board.send(fetch(web.port, 3, most=2))
        await board.send(FetchPiece(b"abc"), re=message_id)
        assert await error_of(board, message_id) == "fetch_too_large"
        message_id = await board.send(fetch(web.port, 3))
        await board.send(FetchPiece(b"abcd"), re=message_id)
        assert await error_of(board, message_id) == "fetch_too_large"
        plane.links.parts.fetches.fetcher = None
        assert await error_of(board, await board.send(fetch(web.port))) == "fetch_refused"
    assert len(web.seen) == 1
    assert len(events) == 1


async def test_l_76_and_77_a_third_is_refused_and_a_stray_piece_ignored_while_the_link_goes_on(
    paired: ScriptedDevice, events: list[AuditEvent], plane: Plane, tmp_path: Path
) -> None:
    async with (
        server(silent, tls=server_tls(tmp_path)) as dead,
        server(echo, tls=server_tls(tmp_path)) as web,
        paired.online() as board,
    ):
        message_id = await board.send(fetch(web.port, 2))
        await board.send(fetch(dead.port))
        for _ in range(18):
            assert await error_of(board, await board.send(fetch(web.port))) == "fetch_busy"
        await board.send(FetchPiece(b"?"), re=bytes(16))
        await board.send(FetchPiece(b"?"))
        await board.send(FetchPiece(b"ok"), re=message_id)
        assert (await answer_of(board, message_id))[1] == b"ok"
        message_id = await board.send(fetch(web.port))
        assert (await answer_of(board, message_id))[0].status == 201
        assert plane.links.online[0].name == "lamp"
    # The one that was never answered ended with its connection.
    assert [event.kind for event in events] == [AuditKind.EGRESS_ALLOWED] * 3


async def test_what_never_ends_is_ended_by_its_time(
    paired: ScriptedDevice, events: list[AuditEvent], tmp_path: Path
) -> None:
    async with paired.online() as board:
        for answer in (silent, slow):
            async with server(answer, tls=server_tls(tmp_path)) as web:
                message_id = await board.send(fetch(web.port, timeout_ms=300))
                assert await error_of(board, message_id) == "fetch_timeout"
        # A request whose body never comes.
        assert await error_of(board, await board.send(fetch(1, 5, timeout_ms=300))) == "fetch_timeout"
    assert len(events) == 2


async def test_a_fetch_ends_with_its_connection_and_the_next_connection_has_both_places(
    paired: ScriptedDevice, events: list[AuditEvent], tmp_path: Path
) -> None:
    async with server(silent, tls=server_tls(tmp_path)) as dead, server(echo, tls=server_tls(tmp_path)) as web:
        async with paired.online() as board:
            await board.send(fetch(dead.port))
            await board.send(fetch(dead.port))
            await dead.news.wait()
        async with paired.online() as board:
            for _ in range(2):
                message_id = await board.send(fetch(web.port))
                assert (await answer_of(board, message_id))[0].status == 201
    assert len(events) == 4
