"""Passwords: hashed as OWASP says, bounded in work, and the same answer for a wrong one and for nobody."""

from __future__ import annotations

import asyncio

import pytest
from tests.auth.conftest import Clock

from microclaw.auth.codes import WRONG_TOKENS_S, Codes
from microclaw.auth.people import OWNER, People, Person
from microclaw.auth.sign_ins import (
    MAX_WAITING,
    WRONG_OF_ADDRESS,
    WRONG_OF_ALL,
    WRONG_OF_NAME,
    SignIns,
    TooManyTries,
)
from microclaw.errors import ConfigError, Overloaded
from microclaw.store.database import Database
from microclaw.store.sign_ins import PasswordTable

RIGHT = "correct horse battery"


class Passwords(SignIns):
    async def check(self, name: str, password: str, address: str) -> Person | None:
        opened = await self.with_password(name, password, address=address, agent="a browser")
        return None if opened is None else opened.sign_in.person


@pytest.fixture
def passwords(database: Database, people: People, clock: Clock) -> Passwords:
    return Passwords(database, people, Codes(database), now_s=clock, monotonic_s=clock)


async def test_a_right_password_is_its_persons_and_only_a_hash_is_kept(
    passwords: Passwords, database: Database
) -> None:
    await passwords.set_password("owner", "schöne grüße, welt")  # two ways to type a letter are one password
    assert await passwords.check("owner", "scho\u0308ne gru\u0308ße, welt", "192.0.2.1") == OWNER
    assert await passwords.set_password("owner", RIGHT) == OWNER
    assert await passwords.check("Owner", RIGHT, "192.0.2.1") == OWNER
    hashed = await PasswordTable(database).get("owner")
    assert hashed is not None
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert RIGHT not in hashed


@pytest.mark.parametrize("wrong", ["", RIGHT + " ", RIGHT.upper(), "x" * 512, "\0", "\ud800"])
async def test_a_wrong_one_opens_nothing(passwords: Passwords, wrong: str) -> None:
    await passwords.set_password("owner", RIGHT)
    assert await passwords.check("owner", wrong, "192.0.2.1") is None


@pytest.mark.parametrize("bad", ["short", (RIGHT * 10)[:129], "aaaaaaaaaaaa", "abababababab"])
async def test_a_bad_password_is_not_set(passwords: Passwords, bad: str) -> None:
    with pytest.raises(ConfigError) as refused:
        await passwords.set_password("owner", bad)
    assert bad not in f"{refused.value.message} {refused.value.next_step}"
    assert await passwords.never_used()


@pytest.mark.parametrize(
    ("name", "address", "last"),
    [
        ("owner", "192.0.2.{}", ("OWNER", "198.51.100.1")),
        ("somebody {}", "192.0.2.1", ("owner", "192.0.2.1")),
        ("somebody {}", "2001:db8::{}", ("owner", "2001:db8::ffff")),
    ],
    ids=["a name, whatever the addresses", "an address", "a range of version 6, whatever the names"],
)
async def test_wrong_ones_of_one_source_have_it_wait_and_no_other(
    passwords: Passwords, clock: Clock, name: str, address: str, last: tuple[str, str]
) -> None:
    await passwords.set_password("owner", RIGHT)
    assert WRONG_OF_NAME == WRONG_OF_ADDRESS
    for number in range(WRONG_OF_ADDRESS):
        assert await passwords.check(name.format(number), "wrong password", address.format(number)) is None
    with pytest.raises(TooManyTries) as locked:
        await passwords.check(last[0], RIGHT, last[1])
    assert 0 < locked.value.wait_s <= WRONG_TOKENS_S
    if name != "owner":
        assert await passwords.check("owner", RIGHT, "198.51.100.1") == OWNER
    clock.now_s += WRONG_TOKENS_S
    assert await passwords.check(last[0], RIGHT, last[1]) == OWNER


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
