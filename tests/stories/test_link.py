"""The device link as somebody else's board sees it: pairing, greeting, calls, durable messages, refusals."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.stories.conftest import TIMEOUT_S, Host, until
from tests.stories.link_board import Link, Provision, opened, paired, provision

from microclaw.apps import device_operations as devices
from microclaw.operations.connection import HostError
from microclaw.telemetry import operations as telemetry
from microclaw.telemetry.history import Series


@pytest.fixture(scope="module")
def at(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Provision:
    """The provision of the board called hall."""
    return provision(host, tmp_path_factory.mktemp("hall"), "hall")


@pytest.fixture(scope="module")
def hall(at: Provision, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key and certificate that hall got for its secret."""
    return asyncio.run(paired(at, tmp_path_factory.mktemp("keys")))


@asynccontextmanager
async def greeted(at: Provision, identity: Path, *capabilities: str, **more: Any) -> AsyncIterator[Link]:
    async with asyncio.timeout(TIMEOUT_S), opened(at, identity) as link:
        await link.hello(*capabilities, **more)
        yield link


def connected(host: Host, name: str) -> bool:
    """The board has a connection, as `microclaw device show` says it."""
    link = host.client.call(devices.show_device, device=name).link
    return link is not None and link.online


def names_of(identity: Path) -> list[str]:
    """The names in a certificate."""
    certificate = x509.load_pem_x509_certificate(identity.read_bytes().partition(b"-----END PRIVATE KEY-----")[2])
    return [str(one.value) for one in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


async def test_a_secret_buys_a_certificate_and_the_board_is_there(host: Host, at: Provision, hall: Path) -> None:
    [uri] = names_of(hall)
    assert uri.startswith("urn:microclaw:device:")
    async with asyncio.timeout(TIMEOUT_S), opened(at, hall) as link:
        welcome = await link.hello("device.info")
        assert (len(welcome["body"]["session"]), welcome["body"]["rx_seq"]) == (16, 0)
        assert welcome["body"]["time_ms"] > 1_700_000_000_000
        await asyncio.to_thread(until, lambda: connected(host, "hall"))
    await asyncio.to_thread(until, lambda: not connected(host, "hall"))


async def test_a_board_without_a_secret_is_let_in_by_its_code_and_gets_a_token(host: Host, at: Provision) -> None:
    async with asyncio.timeout(TIMEOUT_S), opened(at) as link:
        asked = await link.send("pair_request", {"board": "virtual", "token_wanted": True})
        shown = await link.receive("pair_code")
        assert shown["re"] == asked
        done = await asyncio.to_thread(
            host.run, "device", "pair", shown["body"]["code"], "--name", "porch", "--board", "virtual"
        )
        assert done.code == 0
        token = (await link.receive("pair_done"))["body"]["token"]
    async with asyncio.timeout(TIMEOUT_S), opened(at, token=token) as link:
        await link.hello("device.info")
        await asyncio.to_thread(until, lambda: connected(host, "porch"))


async def test_a_call_is_answered_by_the_board_and_the_answer_reaches_the_client(
    host: Host, at: Provision, hall: Path
) -> None:
    async with greeted(at, hall, "gpio.get", "gpio.set") as link:
        asked = asyncio.create_task(asyncio.to_thread(host.level, "hall", 4))
        call = await link.receive("call")
        assert (call["body"]["method"], call["body"]["params"], call["body"]["idempotent"]) == (
            "gpio.get",
            {"pin": 4},
            True,
        )
        await link.send("result", {"ok": True, "value": {"pin": 4, "level": 1}}, re=call["id"])
        assert await asked == 1

        asked = asyncio.create_task(asyncio.to_thread(host.level, "hall", 5))
        call = await link.receive("call")
        error = {"code": "failed", "message": "no such luck"}
        await link.send("result", {"ok": False, "error": error}, re=call["id"])
        with pytest.raises(HostError) as refused:
            await asked
        assert refused.value.status == 502


async def test_a_method_that_the_board_lacks_is_refused_without_asking_it(
    host: Host, at: Provision, hall: Path
) -> None:
    async with greeted(at, hall, "device.info"):
        with pytest.raises(HostError) as refused:
            await asyncio.to_thread(host.level, "hall", 4)
        assert (refused.value.status, refused.value.code) == (409, "not_supported")


async def test_telemetry_is_history_and_an_event_counts_once(host: Host, at: Provision, hall: Path) -> None:
    async with greeted(at, hall, "device.info") as link:
        await link.send("telemetry", {"free_heap": 123_456, "uptime_s": 7, "apps": [], "temperature": 41.5})
        event = {"name": "mqtt.publish", "data": {"app": "t", "topic": "room/temperature", "text": "21.5"}}
        for _ in range(2):  # the same number twice is acked twice, and has one effect
            await link.send("event", event, seq=1)
            assert (await link.receive("ack"))["body"]["seq"] == 1

        def series() -> dict[str, Series]:
            return {one.key: one for one in host.client.call(telemetry.show, name="hall").series}

        await asyncio.to_thread(until, lambda: {"free_heap", "temperature", "room/temperature"} <= series().keys())
        rows = await asyncio.to_thread(series)
        assert rows["free_heap"].points[-1].high == 123_456
        assert (rows["room/temperature"].points[-1].mean, rows["temperature"].unit) == (21.5, "°C")
        assert sum(point.count for point in rows["room/temperature"].points) == 1


async def test_a_note_waits_for_the_board_and_comes_again_until_it_is_acked(
    host: Host, at: Provision, hall: Path
) -> None:
    assert await asyncio.to_thread(host.client.post, "/v1/devices/hall/notify", {"text": "the washing is done"})
    numbers = []
    epoch = os.urandom(8)
    for acked in (False, True):
        async with asyncio.timeout(TIMEOUT_S), opened(at, hall) as link:
            link.epoch = epoch
            await link.hello("device.info")
            note = await link.receive("notify")
            numbers.append((note["seq"], note["id"]))
            if acked:
                await link.send("ack", {"seq": note["seq"]})
                await link.send("bye", {"reason": "done"})
                assert await link.closed() == 1000
    assert numbers[0] == numbers[1]


async def test_a_newer_connection_wins(host: Host, at: Provision, hall: Path) -> None:
    async with greeted(at, hall, "device.info") as older, greeted(at, hall, "device.info") as newer:
        assert await older.closed() == 4409
        await newer.send("ping", {"n": 1, "t0": 5})
        assert (await newer.receive("pong"))["body"]["n"] == 1
        assert await asyncio.to_thread(connected, host, "hall")


async def test_a_revoked_board_stays_out(host: Host, tmp_path: Path) -> None:
    given = await asyncio.to_thread(provision, host, tmp_path, "cellar")
    identity = await paired(given, tmp_path)
    async with greeted(given, identity, "device.info") as link:
        assert (await asyncio.to_thread(host.run, "device", "revoke", "cellar", "-y")).code == 0
        assert await link.closed() == 4403
    async with asyncio.timeout(TIMEOUT_S), opened(given, identity) as link:
        assert await link.closed() == 4403
