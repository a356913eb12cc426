"""Devices of xiaozhi's firmware are let in, or not."""

from __future__ import annotations

import pytest
from tests.voice.xiaozhi.conftest import CLIENT, MAC, Open

from microclaw.errors import ConfigError
from microclaw.wire.xiaozhi import credential_of


async def test_a_code_that_a_person_types_lets_a_device_in(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.device()
        device.start(device.boot())
        first = (await device.until("ota"))["body"]
        assert set(first) == {"server_time", "firmware", "websocket", "activation"}
        assert first["firmware"] == {"version": "2.4.2", "url": ""}
        assert "token" not in first["websocket"]
        assert first["websocket"]["url"].startswith("ws://127.0.0.1:")
        code = first["activation"]["code"]
        assert code in first["activation"]["message"]
        assert [p.board for p in talk.plane.plane.identity.pending] == ["bread-compact-wifi"]
        added = await talk.plane.plane.pair(code, name="kitchen")
        second = (await device.until("ota"))["body"]
        assert "activation" not in second
        token = second["websocket"]["token"]
        assert added.name == "kitchen"
        assert added.endpoints == (f"xiaozhi:{MAC}",)
        assert added.capabilities == frozenset()
        assert added.kinds == ()
        assert added.board.title == "voice device"
        await device.boot()
        third = (await device.until("ota"))["body"]
        assert "token" not in third["websocket"]
        assert "activation" not in third
        await device.open()
        await device.until("open")
        rows = await talk.plane.plane.identity.table.tokens_of(credential_of(MAC))
        assert token.encode() not in b"".join(row.hash for row in rows)


async def test_who_knows_the_mac_alone_gets_a_code_of_his_own_and_nothing_else(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.paired()
        guess = await talk.device(client="99999999-2222-4333-8444-555555555555")
        guess.start(guess.boot(rounds=1, polls=1))
        answer = (await guess.until("ota"))["body"]
        assert "token" not in answer["websocket"]
        assert answer["activation"]["code"]
        await guess.until("activate", status=202)
        await guess.open()
        assert (await guess.until("refused"))["status"] == 401
        await device.boot()
        assert "activation" not in (await device.until("ota"))["body"]
        await device.open()
        await device.until("open")


async def test_a_device_that_was_flashed_anew_shows_a_code_and_is_the_same_device(talking: Open) -> None:
    async with talking() as talk:
        old = await talk.paired()
        await old.open()
        await old.until("open")
        new = await talk.device(client="77777777-2222-4333-8444-555555555555")
        new.start(new.boot())
        code = (await new.until("ota"))["body"]["activation"]["code"]
        with pytest.raises(ConfigError):
            await talk.plane.plane.pair(code, name="bath")
        assert (await talk.plane.plane.pair(code)).name == "kitchen"
        assert (await new.until("booted"))["token"]
        assert (await old.until("closed"))["code"] == 1008
        await new.open()
        await new.until("open")
        await old.open()
        assert (await old.until("refused"))["status"] == 401


async def test_a_code_of_one_device_gives_its_token_to_that_device_alone(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.device()
        device.start(device.boot())
        code = (await device.until("ota"))["body"]["activation"]["code"]
        await talk.plane.plane.pair(code, name="kitchen")
        other = await talk.device(client="99999999-2222-4333-8444-555555555555")
        other.start(other.boot(rounds=1, polls=1))
        answer = (await other.until("ota"))["body"]
        assert "token" not in answer["websocket"]
        assert answer["activation"]["code"] != code
        assert (await device.until("booted"))["token"]


async def test_a_token_that_was_lost_on_its_way_is_mended_by_a_new_code(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.paired()
        device.nvs["token"] = ""
        await device.open()
        assert (await device.until("refused"))["status"] == 401
        device.start(device.boot())
        code = (await device.until("ota"))["body"]["activation"]["code"]
        assert (await talk.plane.plane.pair(code, name="kitchen")).name == "kitchen"
        await device.until("booted")
        await device.open()
        await device.until("open")


async def test_a_revoked_device_is_cut_off_and_shows_a_code_again(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.conversing()
        assert await talk.plane.plane.revoke("kitchen") == 1
        assert (await device.until("closed"))["code"] == 1008
        device.start(device.boot())
        assert (await device.until("ota"))["body"]["activation"]["code"]


async def test_a_device_that_was_removed_is_a_new_one(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.paired()
        kitchen = talk.plane.registry.get("kitchen")
        await talk.plane.registry.remove("kitchen")
        await talk.plane.plane.forget(kitchen)
        device.start(device.boot())
        code = (await device.until("ota"))["body"]["activation"]["code"]
        assert (await talk.plane.plane.pair(code, name="bath")).name == "bath"


async def test_its_token_opens_nothing_on_the_link(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.paired()
        token = next(e["token"] for e in device.events if e["event"] == "booted")
        found = await talk.plane.plane.identity.credentials.authenticate(None, f"Bearer {token}")
        assert found.device_id == credential_of(MAC)
        assert talk.plane.registry.owner_of(f"link:{found.device_id}") is None


async def test_a_version_that_would_crash_the_device_is_not_echoed(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.device(MAC, CLIENT)
        device.start(device.boot(rounds=1, polls=1, firmware="v2.4-beta"))
        assert "firmware" not in (await device.until("ota"))["body"]
