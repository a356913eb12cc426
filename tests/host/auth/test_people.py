"""People, whom a code alone lets in, and their tokens: shown once, kept as hashes, worth nothing once they are over."""

from __future__ import annotations

import asyncio
import unicodedata

import pytest
from tests.host.auth.conftest import Clock

from microclaw.errors import ConfigError, Overloaded, PermissionRefused, UnknownName
from microclaw.host.auth.codes import PERSON, WRONG_TOKENS_S
from microclaw.host.auth.people import OWNER, People
from microclaw.host.auth.tokens import DAY_MS, USE_WRITE_INTERVAL_MS, PersonTokens
from microclaw.host.store.database import Database
from microclaw.host.store.people import PersonTokenTable


async def test_a_known_name_gets_the_address_and_keeps_its_role(people: People) -> None:
    assert await people.pair(await people.ask_pairing("telegram", "1", "Boss"), role="owner") == OWNER
    assert people.find_by_name("owner").addresses == (("telegram", "1"),)
    ada = await people.pair(await people.ask_pairing("telegram", "2", "Ada"), role="guest")
    code = await people.ask_pairing("gateway", "x", "?")
    with pytest.raises(ConfigError):
        await people.pair(code, role="member", name="ada")
    assert await people.pair(code, name="ada") == ada
    assert people.find_by_name("ada").addresses == (("telegram", "2"), ("gateway", "x"))


async def test_the_oldest_place_gives_way_after_its_two_minutes(people: People, clock: Clock) -> None:
    for _ in range(100):  # one account has one place
        oldest = await people.ask_pairing("telegram", "0", "x")
    clock.now_s += 1
    for number in range(1, PERSON.of_place):
        await people.ask_pairing("telegram", str(number), "x")
    with pytest.raises(Overloaded):
        await people.ask_pairing("telegram", "ada", "Ada")
    assert await people.ask_pairing("gateway", "4", "x")  # another channel has places of its own
    clock.now_s += PERSON.protected_s
    ada = await people.ask_pairing("telegram", "ada", "Ada")
    assert len(await people.list_waiting_codes()) == PERSON.of_place + 1
    with pytest.raises(UnknownName):
        await people.pair(oldest)
    for number in range(100, 100 + PERSON.of_place - 1):  # whoever comes after takes older places than hers
        await people.ask_pairing("telegram", str(number), "x")
    with pytest.raises(Overloaded):
        await people.ask_pairing("telegram", "last", "x")
    assert (await people.pair(ada)).name == "Ada"


async def test_after_five_wrong_codes_even_the_right_one_waits_and_after_ten_minutes_it_is_over(
    people: People, clock: Clock
) -> None:
    code, late = [await people.ask_pairing("telegram", number, "Ada") for number in "12"]
    for number in range(5):
        with pytest.raises(UnknownName):
            await people.pair(f"x{number}")
    with pytest.raises(PermissionRefused):
        await people.pair(code)
    clock.now_s += WRONG_TOKENS_S
    assert (await people.pair(code)).name == "Ada"
    clock.now_s += PERSON.life_s - WRONG_TOKENS_S
    with pytest.raises(UnknownName):
        await people.pair(late)
    assert (await people.list_waiting_codes()) == ()


async def test_who_is_removed_is_a_stranger_again(people: People, database: Database, clock: Clock) -> None:
    await people.pair(await people.ask_pairing("telegram", "1", "Ada"))
    await people.remove("ada")
    assert await people.find("telegram", "1") is None
    assert (await People.open(database, now_ms=clock.ms)).list() == (OWNER,)
    with pytest.raises(UnknownName):
        await people.remove("ada")
    with pytest.raises(ConfigError):
        await people.remove("owner")


async def test_a_name_that_is_none_is_refused_and_the_code_lives(people: People) -> None:
    code = await people.ask_pairing("telegram", "1", "Ada")
    for name in ("", "x" * 41, "a\nb\x1b[2J", "<b>", "7", "_ada", "a\u200bb", "e" + "\u0301" * 9, "a\ufe0f"):
        with pytest.raises(ConfigError):
            await people.pair(code, name=name)
    assert await people.pair(code, name="Ada")


async def test_a_name_of_any_script_is_kept_composed_and_one_that_looks_like_another_is_refused(people: People) -> None:
    for name in ("हिन्दी", "สมศรี", "Zoe\u0308", "O'Neil 2", "Ann_Lee", "ada"):
        kept = await people.add(name, "member")
        assert kept.name == unicodedata.normalize("NFC", name)
        assert people.find_by_name(name) == kept
    for name in ("\u0430da", "\uff21da"):  # Cyrillic, full width
        with pytest.raises(ConfigError):
            await people.add(name, "member")
    code = await people.ask_pairing("telegram", "1", "\u0430da")
    assert (await people.pair(code)).name == "\u0430da 2"


@pytest.fixture
def tokens(database: Database, people: People, clock: Clock) -> PersonTokens:
    return PersonTokens(PersonTokenTable(database), people, now_ms=clock.ms)


async def test_a_token_is_its_persons_and_only_its_hash_is_kept_with_its_use_a_minute(
    tokens: PersonTokens, database: Database, clock: Clock
) -> None:
    secret = await tokens.create("laptop", "owner")
    assert secret.startswith("mc_")
    assert len(secret) >= 46
    found = await tokens.authenticate(secret)
    assert found is not None
    assert (found.name, found.person) == ("laptop", OWNER)
    first = (await tokens.list())[0].used_ms
    for s, is_noted in ((1, False), (USE_WRITE_INTERVAL_MS / 1000, True)):
        clock.now_s += s
        await tokens.authenticate(secret)
        assert (await tokens.list())[0].used_ms == (clock.ms() if is_noted else first)
    rows = await PersonTokenTable(database).list()
    assert secret.encode() not in b"".join(row.hash for row in rows)
    assert not any(secret in str(value) for row in rows for value in (row.token_id, row.name, row.person_id))
    for wrong in ("", "mc_", "mc_wrong", "x" * 46, "mc_" + "é" * 43, "mc_" + "a" * 10_000):
        assert await tokens.authenticate(wrong) is None


async def test_a_token_that_is_over_opens_nothing_and_ends_its_watch(
    tokens: PersonTokens, people: People, clock: Clock
) -> None:
    """Removed, or its person is: tests/interfaces/api/test_credential_end.py, and test_two_hosts.py."""
    ada = await people.add("Ada", "member")
    secret = await tokens.create("phone", ada.person_id, days=1)
    (token,) = await tokens.list()
    async with tokens.watch(token.token_id) as watch:
        clock.now_s += DAY_MS / 1000 - 1
        assert await tokens.authenticate(secret) is not None
        clock.now_s += 1
        async with asyncio.timeout(60):
            await watch.until_ended()
    async with tokens.watch(token.token_id) as late, tokens.watch("") as without:
        assert (late.check(), without.check()) == (False, True)
    assert await tokens.authenticate(secret) is None


async def test_a_scope_is_the_most_that_a_token_is_and_gives_nobody_more_than_the_role(
    tokens: PersonTokens, people: People
) -> None:
    chat = await tokens.authenticate(await tokens.create("small", "owner", scope="chat"))
    assert chat is not None
    assert chat.person.person_id != "owner"  # less than the owner has no memory of the owner's
    assert people.get("owner~king") is None
    gus = await people.add("gus", "guest")
    with pytest.raises(ConfigError):
        await tokens.create("too much", gus.person_id, scope="act")
    secret = await tokens.create("chats", gus.person_id, scope="chat")
    await people.change_role("gus", "read-only")
    found = await tokens.authenticate(secret)
    assert found is not None
    assert found.person.role == "read-only"
    await people.change_role("gus", "owner")
    found = await tokens.authenticate(secret)
    assert found is not None
    assert found.person.role == "guest"
