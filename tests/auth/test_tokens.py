"""Tokens: shown once, kept as hashes, and worth nothing once over, removed, or their person is gone."""

from __future__ import annotations

import asyncio

import pytest
from tests.auth.conftest import Clock

from microclaw.auth.people import OWNER, People
from microclaw.auth.tokens import DAY_MS, NOTED_USE_MS, PersonTokens
from microclaw.errors import ConfigError
from microclaw.store.database import Database
from microclaw.store.people import PersonTokenTable


@pytest.fixture
def tokens(database: Database, people: People, clock: Clock) -> PersonTokens:
    return PersonTokens(PersonTokenTable(database), people, now_ms=clock.ms)


async def test_a_token_is_its_persons_and_only_its_hash_is_kept_with_its_use_a_minute(
    tokens: PersonTokens, database: Database, clock: Clock
) -> None:
    secret = await tokens.create("laptop", "owner")
    assert secret.startswith("mc_")
    assert len(secret) >= 46
    found = await tokens.who(secret)
    assert found is not None
    assert (found.name, found.person) == ("laptop", OWNER)
    first = (await tokens.list())[0].used_ms
    for s, is_noted in ((1, False), (NOTED_USE_MS / 1000, True)):
        clock.now_s += s
        await tokens.who(secret)
        assert (await tokens.list())[0].used_ms == (clock.ms() if is_noted else first)
    rows = await PersonTokenTable(database).list()
    assert secret.encode() not in b"".join(row.hash for row in rows)
    assert not any(secret in str(value) for row in rows for value in (row.token_id, row.name, row.person_id))
    for wrong in ("", "mc_", "mc_wrong", "x" * 46, "mc_" + "é" * 43, "mc_" + "a" * 10_000):
        assert await tokens.who(wrong) is None


async def test_a_token_that_is_over_opens_nothing_and_ends_its_watch(
    tokens: PersonTokens, people: People, clock: Clock
) -> None:
    """Removed, or its person is: tests/api/test_credential_end.py, and test_two_hosts.py."""
    ada = await people.add("Ada", "member")
    secret = await tokens.create("phone", ada.person_id, days=1)
    (token,) = await tokens.list()
    async with tokens.watching(token.token_id) as watch:
        clock.now_s += DAY_MS / 1000 - 1
        assert await tokens.who(secret) is not None
        clock.now_s += 1
        async with asyncio.timeout(60):
            await watch.until_ended()
    async with tokens.watching(token.token_id) as late, tokens.watching("") as without:
        assert (late.check(), without.check()) == (False, True)
    assert await tokens.who(secret) is None


async def test_a_scope_is_the_most_that_a_token_is_and_gives_nobody_more_than_the_role(
    tokens: PersonTokens, people: People
) -> None:
    chat = await tokens.who(await tokens.create("small", "owner", scope="chat"))
    assert chat is not None
    assert chat.person.person_id != "owner"  # less than the owner has no memory of the owner's
    assert people.get("owner~king") is None
    gus = await people.add("gus", "guest")
    with pytest.raises(ConfigError):
        await tokens.create("too much", gus.person_id, scope="act")
    secret = await tokens.create("chats", gus.person_id, scope="chat")
    await people.change_role("gus", "read-only")
    found = await tokens.who(secret)
    assert found is not None
    assert found.person.role == "read-only"
    await people.change_role("gus", "owner")
    found = await tokens.who(secret)
    assert found is not None
    assert found.person.role == "guest"
