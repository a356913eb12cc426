"""Passwords: hashed as OWASP says, bounded in work, and the same answer for a wrong one and for nobody."""

from __future__ import annotations

import asyncio

import pytest
from tests.auth.conftest import Clock

from microclaw.auth.easy_passwords import why_easy
from microclaw.auth.passwords import (
    MAX_CHARS,
    MAX_WAITING,
    MIN_CHARS,
    WRONG_OF_ADDRESS,
    WRONG_OF_ALL,
    WRONG_OF_NAME,
    Passwords,
    TooManyTries,
)
from microclaw.auth.people import OWNER, People
from microclaw.auth.wrong_tokens import WRONG_TOKENS_S
from microclaw.errors import ConfigError, Overloaded, UnknownName
from microclaw.store.database import Database
from microclaw.store.people import PeopleTable
from microclaw.store.sign_ins import PasswordTable

RIGHT = "correct horse battery"


@pytest.fixture
async def people(database: Database) -> People:
    return await People.opened(PeopleTable(database))


@pytest.fixture
def passwords(database: Database, people: People, clock: Clock) -> Passwords:
    return Passwords(PasswordTable(database), people, monotonic_s=clock)


async def test_a_right_password_is_its_persons_and_only_a_hash_is_kept(
    passwords: Passwords, database: Database
) -> None:
    assert await passwords.set("owner", RIGHT) == OWNER
    assert await passwords.check("Owner", RIGHT, "192.0.2.1") == OWNER
    (row,) = await PasswordTable(database).list()
    assert row.hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert RIGHT not in row.hash


@pytest.mark.parametrize("wrong", ["", RIGHT + " ", RIGHT.upper(), "x" * 512, "\0", "\ud800"])
async def test_a_wrong_one_opens_nothing(passwords: Passwords, wrong: str) -> None:
    await passwords.set("owner", RIGHT)
    assert await passwords.check("owner", wrong, "192.0.2.1") is None


async def test_a_password_counts_to_its_last_letter(passwords: Passwords) -> None:
    longest = (RIGHT * MAX_CHARS)[:MAX_CHARS]
    await passwords.set("owner", longest)
    assert await passwords.check("owner", longest + "y", "192.0.2.1") is None
    assert await passwords.check("owner", longest, "192.0.2.1") == OWNER


async def test_two_ways_to_type_a_letter_are_one_password(passwords: Passwords) -> None:
    await passwords.set("owner", "schöne grüße, welt")
    assert await passwords.check("owner", "scho\u0308ne gru\u0308ße, welt", "192.0.2.1") == OWNER


async def test_nobody_and_somebody_without_a_password_are_like_a_wrong_one(passwords: Passwords) -> None:
    assert await passwords.check("nobody", RIGHT, "192.0.2.1") is None
    assert await passwords.check("owner", RIGHT, "192.0.2.1") is None


@pytest.mark.parametrize("bad", ["short", (RIGHT * 10)[:129], "owner-owner", "aaaaaaaaaaaa", "Own3r-battery"])
async def test_a_bad_password_is_not_set(passwords: Passwords, bad: str) -> None:
    with pytest.raises(ConfigError) as refused:
        await passwords.set("owner", bad)
    assert bad not in f"{refused.value.message} {refused.value.next_step}"
    assert "words" in str(refused.value.next_step)
    assert not await passwords.any_set()


@pytest.mark.parametrize(
    ("easy", "why"),
    [
        ("aaaaaaaaaaaa", "1 different characters"),
        ("AbabABabABab", "2 different characters"),
        ("198507234411", "no letters"),
        ("2026-11-22-09:30", "no letters"),
        ("abcdefghijkl", "a run of keys"),
        ("zyxwvutsrqpo", "a run of keys"),
        ("aabbccddeeffgg", "a run of keys"),
        ("a1b2c3d4e5f6g7", "a run of keys"),
        ("1q2w3e4r5t6y", "a run of keys"),
        ("qwertzuiop12", "a run of keys"),
        ("lkjhgfdsa!!!", "a run of keys"),
        ("1qaz2wsx3edc", "a run of keys"),
        ("horsehorsehorse", "repeated"),
        ("lamp7lamp7lamp7lamp8", "repeated"),
        ("password1234", "a common word, a run"),
        ("P@ssw0rd-2026", "a common word, a year"),
        ("drowssap-drowssap", "a common word"),
        ("DragonMaster99", "a common word"),
        ("Microclaw-2026", "microclaw"),
        ("m1cr0claw is it", "microclaw"),
        ("ada lovelace1815", "the person's name"),
        ("LOVELACE ada!!", "the person's name"),
        ("ecalevol ada 11", "the person's name"),
    ],
)
def test_what_is_guessed_first_is_easy(easy: str, why: str) -> None:
    told = why_easy(easy, "Ada Lovelace", min_chars=MIN_CHARS)
    assert told is not None
    assert why in told
    assert easy not in told


@pytest.mark.parametrize(
    "good",
    [
        RIGHT, "xK7$nQ2pVz!m", "sunshine orbit lamp gravel", "the first overstuffed sofa", "schöne grüße, welt",
        "bananas und Kreide", "7351-okapi-9902", "犬が橋の下で静かに眠っている", "microclaw gravel orbit sofa",
        "a-AB3-zz8-kLm", "h7Gk2mPq9sWd",
    ],
)  # fmt: skip
def test_other_passwords_are_not_easy(good: str) -> None:
    assert why_easy(good, "Ada Lovelace", min_chars=MIN_CHARS) is None


async def test_a_removed_password_opens_nothing(passwords: Passwords) -> None:
    await passwords.set("owner", RIGHT)
    await passwords.remove("owner")
    assert await passwords.check("owner", RIGHT, "192.0.2.1") is None
    with pytest.raises(UnknownName):
        await passwords.remove("owner")


async def test_an_address_waits_after_wrong_ones_and_others_do_not(passwords: Passwords, clock: Clock) -> None:
    await passwords.set("owner", RIGHT)
    for number in range(WRONG_OF_ADDRESS):
        assert await passwords.check(f"somebody {number}", "wrong password", "192.0.2.1") is None
    with pytest.raises(TooManyTries) as locked:
        await passwords.check("owner", RIGHT, "192.0.2.1")
    assert 0 < locked.value.wait_s <= WRONG_TOKENS_S
    assert await passwords.check("owner", RIGHT, "192.0.2.2") == OWNER
    clock.now_s += WRONG_TOKENS_S
    assert await passwords.check("owner", RIGHT, "192.0.2.1") == OWNER


async def test_right_ones_never_lock(passwords: Passwords) -> None:
    await passwords.set("owner", RIGHT)
    for _ in range(WRONG_OF_ADDRESS + 2):
        assert await passwords.check("owner", RIGHT, "192.0.2.1") == OWNER


async def test_a_name_waits_whatever_addresses_the_guesses_come_from(passwords: Passwords) -> None:
    for number in range(WRONG_OF_NAME):
        assert await passwords.check("owner", "wrong password", f"192.0.2.{number}") is None
    with pytest.raises(TooManyTries):
        await passwords.check("OWNER", "wrong password", "198.51.100.1")


async def test_one_range_of_version_6_is_one_address(passwords: Passwords) -> None:
    for number in range(WRONG_OF_ADDRESS):
        await passwords.check(f"somebody {number}", "wrong password", f"2001:db8::{number:x}")
    with pytest.raises(TooManyTries):
        await passwords.check("owner", "wrong password", "2001:db8::ffff")


async def test_ten_thousand_wrong_ones_cost_sixty_hashes(passwords: Passwords) -> None:
    """From everywhere at once, for every name: what is hashed is what gives an answer."""
    hashed = refused = full = 0

    async def guess(number: int) -> None:
        nonlocal hashed, refused, full
        try:
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            assert await passwords.check(f"name {number}", "wrong password", address) is None
            hashed += 1
        except TooManyTries:
            refused += 1
        except Overloaded:
            full += 1

    for start in range(0, 10_000, 500):
        await asyncio.gather(*(guess(number) for number in range(start, start + 500)))
    assert (hashed + full, refused) == (WRONG_OF_ALL, 10_000 - WRONG_OF_ALL)
    assert full == WRONG_OF_ALL - MAX_WAITING  # they came in one moment, and only so many may wait
