"""The device link as somebody else's board sees it: pairing, greeting, calls, durable messages, refusals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography import x509
from tests.stories.conftest import TIMEOUT_S, Host, until
from tests.stories.link_board import Board, paired

from microclaw.agent.schedules import operations as schedules
from microclaw.devices.telemetry import operations as telemetry
from microclaw.devices.telemetry.history import Series
from microclaw.host.operations.connection import HostError
from microclaw.programs.changes import device_operations as devices


@pytest.fixture(scope="module")
def hall(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Board:
    """It has a certificate for its secret."""
    return asyncio.run(paired(host, tmp_path_factory.mktemp("hall"), "hall"))


def connected(host: Host, name: str) -> bool:
    """The board has a connection, as `microclaw device show` says it."""
    link = host.client.call(devices.show_device, device=name).link
    return link is not None and link.online


async def test_a_secret_buys_a_certificate_and_the_board_is_there(host: Host, hall: Board) -> None:
    assert hall.certificate is not None
    names = hall.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    [uri] = [str(one.value) for one in names]
    assert uri.startswith("urn:microclaw:device:")
    async with asyncio.timeout(TIMEOUT_S), hall.connected() as end:
        welcome = await hall.greet(end)
        assert (len(welcome["session"]), welcome["rx_seq"]) == (16, 0)
        assert welcome["time_ms"] > 1_700_000_000_000
        await asyncio.to_thread(until, lambda: connected(host, "hall"))
    await asyncio.to_thread(until, lambda: not connected(host, "hall"))


async def test_a_board_without_a_secret_is_let_in_by_its_code_and_gets_a_token(host: Host, hall: Board) -> None:
    porch = Board(hall.host, hall.port, hall.ca_sha256, None)
    async with asyncio.timeout(TIMEOUT_S), porch.connected() as end:
        asked = await end.say("pair_request", {"board": "virtual", "token_wanted": True})
        code = (await end.next("pair_code", asked))["body"]["code"]
        words = ("device", "pair", code, "--name", "porch", "--board", "virtual")
        assert (await asyncio.to_thread(host.run, *words)).code == 0
        porch.token = (await end.next("pair_done"))["body"]["token"]
    async with porch.greeted("device.info"):
        await asyncio.to_thread(until, lambda: connected(host, "porch"))


async def test_a_call_is_answered_by_the_board_and_the_answer_reaches_the_client(host: Host, hall: Board) -> None:
    async with hall.greeted("gpio.get", "gpio.set") as link:
        asked = asyncio.create_task(asyncio.to_thread(host.level, "hall", 4))
        call = await link.next("call")
        assert (call["body"]["method"], call["body"]["params"], call["body"]["idempotent"]) == (
            "gpio.get",
            {"pin": 4},
            True,
        )
        await link.say("result", {"ok": True, "value": {"pin": 4, "level": 1}}, re=call["id"])
        assert await asked == 1

        asked = asyncio.create_task(asyncio.to_thread(host.level, "hall", 5))
        call = await link.next("call")
        error = {"code": "failed", "message": "no such luck"}
        await link.say("result", {"ok": False, "error": error}, re=call["id"])
        with pytest.raises(HostError) as refused:
            await asked
        assert refused.value.status == 502


async def test_a_method_that_the_board_lacks_is_refused_without_asking_it(host: Host, hall: Board) -> None:
    async with hall.greeted("device.info"):
        with pytest.raises(HostError) as refused:
            await asyncio.to_thread(host.level, "hall", 4)
        assert (refused.value.status, refused.value.code) == (409, "not_supported")


async def test_a_schedule_is_kept_without_asking_its_board(host: Host, hall: Board) -> None:
    """Neither by a sentence nor by the command: the board may be away, or as slow as it likes."""
    adding = ("--json", "schedule", "add", "every day at 7", "turn on pin 4 on hall")
    async with hall.greeted("apps.list", "gpio.set") as link:
        made = await asyncio.to_thread(host.run, *adding)
        told = await asyncio.to_thread(host.run, "chat", "turn on pin 4 on hall every day at 8")
        await link.alive()
        assert "call" not in {message["type"] for message in link.got}
    assert (made.code, told.code, made.json["warning"]) == (0, 0, None)
    await asyncio.to_thread(until, lambda: not connected(host, "hall"))
    later = ("--json", "schedule", "add", "every day at 9", "turn on pin 4 on hall")
    assert (await asyncio.to_thread(host.run, *later)).json["warning"] == "hall is away now"
    for one in host.client.call(schedules.list_schedules).schedules:
        if one.device == "hall":
            host.client.call(schedules.remove, schedule=one.schedule)


async def test_telemetry_is_history_and_an_event_counts_once(host: Host, hall: Board) -> None:
    async with hall.greeted("device.info") as link:
        await link.say("telemetry", {"free_heap": 123_456, "uptime_s": 7, "apps": [], "temperature": 41.5})
        event = {"name": "mqtt.publish", "data": {"app": "t", "topic": "room/temperature", "text": "21.5"}}
        for _ in range(2):  # the same number twice is acked twice, and has one effect
            await link.say("event", event, seq=1)
            assert (await link.next("ack"))["body"]["seq"] == 1

        def series() -> dict[str, Series]:
            return {one.key: one for one in host.client.call(telemetry.show, name="hall").series}

        await asyncio.to_thread(until, lambda: {"free_heap", "temperature", "room/temperature"} <= series().keys())
        rows = await asyncio.to_thread(series)
        assert rows["free_heap"].points[-1].high == 123_456
        assert (rows["room/temperature"].points[-1].mean, rows["temperature"].unit) == (21.5, "°C")
        assert sum(point.count for point in rows["room/temperature"].points) == 1


async def test_a_note_waits_for_the_board_and_comes_again_until_it_is_acked(host: Host, hall: Board) -> None:
    assert await asyncio.to_thread(host.client.post, "/v1/devices/hall/notify", {"text": "the washing is done"})
    numbers = []
    for acked in (False, True):
        async with hall.greeted("device.info") as link:
            link.acks = acked
            note = await link.next("notify")
            numbers.append((note["seq"], note["id"]))
            if acked:
                await link.say("bye", {"reason": "done"})
                assert (await link.ended())[0] == 1000
    assert numbers[0] == numbers[1]


async def test_a_newer_connection_wins(host: Host, hall: Board) -> None:
    async with hall.greeted("device.info") as older, hall.greeted("device.info") as newer:
        assert (await older.ended())[0] == 4409
        await newer.say("ping", {"n": 1, "t0": 5})
        assert (await newer.next("pong"))["body"]["n"] == 1
        assert await asyncio.to_thread(connected, host, "hall")


async def test_a_revoked_board_stays_out(host: Host, tmp_path: Path) -> None:
    cellar = await paired(host, tmp_path, "cellar")
    async with cellar.greeted("device.info") as link:
        assert (await asyncio.to_thread(host.run, "device", "revoke", "cellar", "-y")).code == 0
        assert (await link.ended())[0] == 4403
    async with asyncio.timeout(TIMEOUT_S), cellar.connected() as link:
        assert (await link.ended())[0] == 4403
