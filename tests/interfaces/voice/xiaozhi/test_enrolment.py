"""Devices of xiaozhi's firmware are let in, or not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.interfaces.voice.xiaozhi.conftest import CLIENT, MAC, Open

from microclaw.errors import ConfigError
from microclaw.wire.xiaozhi import credential_of

OTHER = "99999999-2222-4333-8444-555555555555"


async def ota_of(device: Any) -> dict[str, Any]:
    """The next answer to its report."""
    found: dict[str, Any] = (await device.until("ota"))["body"]
    return found


async def opens(device: Any) -> None:
    await device.open()
    await device.until("open")


async def refused(device: Any) -> None:
    await device.open()
    assert (await device.until("refused"))["status"] == 401


async def test_a_code_that_a_person_types_lets_that_device_in_and_no_other(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.device()
        device.start(device.boot(polls=600))  # it asks until it is paired
        first = await ota_of(device)
        assert set(first) == {"server_time", "firmware", "websocket", "activation"}
        assert first["firmware"] == {"version": "2.4.2", "url": ""}
        assert "token" not in first["websocket"]
        assert first["websocket"]["url"].startswith("ws://127.0.0.1:")
        code = first["activation"]["code"]
        assert code in first["activation"]["message"]
        assert [p.board for p in talk.plane.plane.identity.pending] == ["bread-compact-wifi"]
        added = await talk.plane.plane.pair(code, name="kitchen")
        assert (added.name, added.endpoints, added.board.title) == ("kitchen", (f"xiaozhi:{MAC}",), "voice device")
        assert (added.capabilities, added.kinds) == (frozenset(), ())
        other = await talk.device(client=OTHER)
        other.start(other.boot(rounds=1, polls=1))
        answer = await ota_of(other)
        assert ("token" in answer["websocket"], answer["activation"]["code"] == code) == (False, False)
        await refused(other)  # it knows the MAC alone
        second = await ota_of(device)
        token = second["websocket"]["token"]
        assert "activation" not in second
        await device.boot()
        third = await ota_of(device)
        assert ("token" in third["websocket"], "activation" in third) == (False, False)
        await opens(device)
        identity = talk.plane.plane.identity
        assert token.encode() not in b"".join(row.hash for row in await identity.table.tokens_of(credential_of(MAC)))
        found = await identity.credentials.authenticate(None, f"Bearer {token}")  # nothing on the link
        assert (found.device_id, talk.plane.registry.owner_of(f"link:{found.device_id}")) == (credential_of(MAC), None)


async def test_a_device_that_was_flashed_anew_shows_a_code_and_is_the_same_device(talking: Open) -> None:
    async with talking() as talk:
        old = await talk.paired()
        await opens(old)
        new = await talk.device(client="77777777-2222-4333-8444-555555555555")
        new.start(new.boot())
        code = (await ota_of(new))["activation"]["code"]
        with pytest.raises(ConfigError):
            await talk.plane.plane.pair(code, name="bath")
        assert (await talk.plane.plane.pair(code)).name == "kitchen"
        assert (await new.until("booted"))["token"]
        assert (await old.until("closed"))["code"] == 1008
        await opens(new)
        await refused(old)


@pytest.mark.parametrize("has_talked", [False, True])
async def test_a_device_with_another_token_shows_a_code_until_it_has_a_good_one(
    talking: Open, has_talked: bool
) -> None:
    async with talking() as talk:
        device = await talk.paired()
        good = device.nvs["token"]
        if has_talked:
            await opens(device)
        device.nvs["token"] = "another-servers"
        await refused(device)
        device.nvs["token"] = good
        await opens(device)  # its own token is as good as before
        await device.boot()
        assert "activation" not in await ota_of(device)
        device.nvs["token"] = "another-servers"
        await refused(device)
        device.start(device.boot())
        code = (await ota_of(device))["activation"]["code"]
        assert (await talk.plane.plane.pair(code)).name == "kitchen"
        await device.until("booted")
        assert device.nvs["token"] not in (good, "another-servers")
        await device.boot()  # it has not talked yet
        assert "activation" not in await ota_of(device)
        await opens(device)


async def test_a_stranger_with_both_ids_of_a_device_changes_nothing_for_it(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.paired()  # it has not talked yet
        stranger = await talk.device(address="127.0.0.2")
        stranger.nvs["url"] = device.nvs["url"]
        await refused(stranger)
        stranger.start(stranger.boot())
        foreign_code = (await ota_of(stranger))["activation"]["code"]
        await device.boot()
        assert "activation" not in await ota_of(device)
        device.nvs["token"], good = "", device.nvs["token"]
        await refused(device)
        device.start(device.boot())
        code = (await ota_of(device))["activation"]["code"]
        assert code != foreign_code
        device.nvs["token"] = good
        await opens(device)  # nobody typed a code, so its token is good
        assert (await talk.plane.plane.pair(code)).name == "kitchen"
        assert (await device.until("booted"))["token"] not in (good, "")
        assert "token" not in stranger.nvs


async def test_a_token_that_was_revoked_or_removed_is_mended_by_a_new_code(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.paired()
        await opens(device)
        assert await talk.plane.plane.revoke("kitchen") == 1
        assert (await device.until("closed"))["code"] == 1008
        kitchen = talk.plane.registry.get("kitchen")
        await talk.plane.registry.remove("kitchen")
        await talk.plane.plane.forget(kitchen)
        device.start(device.boot())
        code = (await ota_of(device))["activation"]["code"]
        assert (await talk.plane.plane.pair(code, name="bath")).name == "bath"  # a new one


async def test_a_version_that_would_crash_the_device_is_not_echoed(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.device(MAC, CLIENT)
        device.start(device.boot(rounds=1, polls=1, firmware="v2.4-beta"))
        assert "firmware" not in await ota_of(device)
