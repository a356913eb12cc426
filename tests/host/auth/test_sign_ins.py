"""Links that sign in once, passwords, and sessions: how they begin, what ends them, guesses, and clocks that jump."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.host.auth.conftest import Clock

from microclaw.errors import ConfigError, Overloaded, UnknownName
from microclaw.host.audit.event import AuditEvent, AuditKind
from microclaw.host.auth.codes import SIGN_IN, WRONG_TOKENS_S
from microclaw.host.auth.people import People
from microclaw.host.auth.sign_ins import (
    MAX_OF_PERSON,
    MAX_WAITING,
    WRONG_OF_ADDRESS,
    WRONG_OF_ALL,
    WRONG_OF_NAME,
    OpenedSession,
    SignIns,
    TooManyTries,
    csrf_token,
)
from microclaw.host.store.database import Database
from microclaw.host.store.sign_ins import CLOCK_BACK_MS, IDLE_MS, LONGEST_MS, PasswordTable, SignInTable

FROM = {"address": "192.0.2.1", "agent": "a browser"}
RIGHT = "correct horse battery"


class Bench:
    def __init__(self, people: People, database: Database, clock: Clock) -> None:
        self.people = people
        self.database = database
        self.clock = clock
        self.events: list[AuditEvent] = []
        self.sign_ins = SignIns(database, people, now_ms=clock.ms, clock_s=clock, record=self.events.append)

    async def opened(self, who: str = "owner") -> OpenedSession:
        found = await self.sign_ins.with_code(await self.sign_ins.new_code(who), **FROM)
        assert found is not None
        return found

    async def is_good(self, opened: OpenedSession) -> bool:
        return await self.sign_ins.authenticate(opened.secret) is not None

    async def is_right(self, password: str, name: str = "owner", address: str = "192.0.2.1") -> bool:
        opened = await self.sign_ins.with_password(name, password, address=address, agent="a browser")
        return opened is not None and opened.sign_in.person.name == name.lower()


@pytest.fixture
async def bench(people: People, database: Database, clock: Clock) -> Bench:
    await people.add("ada", "member")
    return Bench(people, database, clock)


async def test_secrets_are_kept_as_hashes_and_said_nowhere(bench: Bench) -> None:
    assert await bench.sign_ins.never_used()
    code = await bench.sign_ins.new_code()
    agent = "\x1b[2Jevil\r\nline " + "x" * 1000
    opened = await bench.sign_ins.with_code(code, address="192.0.2.1", agent=agent)
    assert opened is not None
    assert not {"\x1b", "\n"} & set(opened.sign_in.agent)
    assert len(opened.sign_in.agent) <= 130
    assert not await bench.sign_ins.never_used()
    assert len(opened.secret) == 43  # 256 bits
    (row,) = await SignInTable(bench.database).list()
    said = repr(bench.events) + repr(row)
    for secret in (code, opened.secret, csrf_token(opened.secret)):
        assert secret not in said
        assert secret.encode() not in row.hash
    assert [(event.kind.value, event.by) for event in bench.events] == [
        ("signin.link", "owner"),
        ("signin.opened", "owner"),
    ]


async def test_a_link_lives_ten_minutes_over_a_kill_of_its_host_and_is_used_once(bench: Bench, tmp_path: Path) -> None:
    late = await bench.sign_ins.new_code()
    bench.clock.forward(s=1)
    code = await bench.sign_ins.new_code()
    used = await bench.sign_ins.new_code()
    assert await bench.sign_ins.with_code(used, **FROM) is not None
    killed = tmp_path / "killed.db"
    for suffix in ("", "-wal"):  # a kill -9 would leave it
        killed.with_name(f"killed.db{suffix}").write_bytes((tmp_path / "home" / f"store.db{suffix}").read_bytes())
    async with Database.open(killed) as database:
        again = Bench(await People.open(database, now_ms=bench.clock.ms), database, bench.clock)
        bench.clock.forward(s=SIGN_IN.life_s - 1)
        opened = [await again.sign_ins.with_code(one, **FROM) for one in (late, used, code, code)]
        assert [one is not None for one in opened] == [False, False, True, False]


async def test_links_are_bounded_and_wrong_ones_wait_but_a_right_one_does_not(bench: Bench) -> None:
    codes = []
    for _ in range(SIGN_IN.in_all + 1):
        codes.append(await bench.sign_ins.new_code())
        bench.clock.forward(ms=1)
    for _ in range(SIGN_IN.wrong_tries):
        assert await bench.sign_ins.with_code("wrong", **FROM) is None
    with pytest.raises(TooManyTries):
        await bench.sign_ins.with_code(codes[0], **FROM)  # it gave way to the newest
    assert await bench.sign_ins.with_code(codes[1], **FROM) is not None


async def test_a_session_ends_unused_and_at_last_in_any_case(bench: Bench) -> None:
    idle = await bench.opened()
    used = await bench.opened()
    for _ in range(LONGEST_MS // (IDLE_MS - 60_000)):
        bench.clock.forward(ms=IDLE_MS - 60_000)
        assert await bench.is_good(used)
    bench.clock.forward(ms=IDLE_MS - 60_000)
    assert not await bench.is_good(used)  # 30 days
    assert not await bench.is_good(idle)
    assert await bench.sign_ins.list() == ()


async def test_a_clock_that_goes_back_opens_nothing_and_loses_nothing(bench: Bench) -> None:
    opened = await bench.opened()
    for step_ms, is_good in ((-CLOCK_BACK_MS, True), (-1, False), (CLOCK_BACK_MS, True)):
        bench.clock.forward(ms=step_ms)
        assert await bench.is_good(opened) == is_good


async def test_another_role_ends_open_connections_and_a_removed_person_is_out_at_once(bench: Bench) -> None:
    opened = await bench.opened("ada")
    code = await bench.sign_ins.new_code("ada")
    async with bench.sign_ins.watch(opened.sign_in.sign_in_id) as watch:
        assert watch.check()
        await bench.people.change_role("ada", "read-only")
        assert not watch.check()
    found = await bench.sign_ins.authenticate(opened.secret)
    assert found is not None
    assert found.person.role == "read-only"
    await bench.people.remove("ada")
    assert not await bench.is_good(opened)
    assert await bench.sign_ins.with_code(code, **FROM) is None
    assert await SignInTable(bench.database).list() == ()


async def test_an_ended_session_is_over_for_its_open_connections_and_names_who_ended_it(bench: Bench) -> None:
    for by in (None, "owner"):
        opened = await bench.opened("ada")
        async with bench.sign_ins.watch(opened.sign_in.sign_in_id) as watch:
            await bench.sign_ins.end(opened.sign_in.sign_in_id, by=by)
            await watch.until_ended()
        assert not await bench.is_good(opened)
        with pytest.raises(UnknownName):
            await bench.sign_ins.end(opened.sign_in.sign_in_id)
    ended = [(event.by, event.text) for event in bench.events if event.kind is AuditKind.SIGNIN_ENDED]
    assert ended == [("ada", "signed out"), ("owner", "signed out: ada's session")]


async def test_the_least_used_of_too_many_sessions_gives_way(bench: Bench) -> None:
    opened = []
    for _ in range(MAX_OF_PERSON + 1):
        opened.append(await bench.opened())
        bench.clock.forward(s=1)
    assert [await bench.is_good(one) for one in opened[:2]] == [False, True]
    assert len(await bench.sign_ins.list()) == MAX_OF_PERSON


async def test_a_right_password_opens_and_only_a_hash_of_it_is_kept(bench: Bench) -> None:
    await bench.sign_ins.set_password("owner", "schöne grüße, welt")  # two ways to type a letter are one password
    assert await bench.is_right("scho\u0308ne gru\u0308ße, welt")
    await bench.sign_ins.set_password("owner", RIGHT)
    assert await bench.is_right(RIGHT, "Owner")
    row = await PasswordTable(bench.database).get("owner")
    assert row is not None
    assert row.hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert RIGHT not in row.hash
    for wrong in ("", RIGHT + " ", RIGHT.upper(), "x" * 512, "\0", "\ud800"):
        assert not await bench.is_right(wrong)


async def test_a_bad_password_is_not_set(bench: Bench) -> None:
    for bad in ("short", (RIGHT * 10)[:129], "aaaaaaaaaaaa", "abababababab"):
        with pytest.raises(ConfigError) as refused:
            await bench.sign_ins.set_password("owner", bad)
        assert bad not in f"{refused.value.message} {refused.value.next_step}"
    assert await bench.sign_ins.never_used()


async def test_a_new_password_and_a_removed_one_end_every_session_of_that_person(bench: Bench) -> None:
    own = await bench.opened("ada")
    other = await bench.opened()
    await bench.sign_ins.set_password("ada", RIGHT)
    assert (await bench.is_good(own), await bench.is_good(other)) == (False, True)
    by_password = await bench.sign_ins.with_password("ada", RIGHT, **FROM)
    assert by_password is not None
    await bench.sign_ins.remove_password("ada")
    with pytest.raises(UnknownName):
        await bench.sign_ins.remove_password("ada")
    assert not await bench.is_good(by_password)
    assert not await bench.is_right(RIGHT, "ada")
    wrong = bench.events[-1]  # without a name or a password
    assert (wrong.kind.value, wrong.address) == ("signin.wrong", "192.0.2.1")
    assert "ada" not in repr(wrong)
    assert RIGHT not in repr(wrong)


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
    bench: Bench, name: str, address: str, last: tuple[str, str]
) -> None:
    await bench.sign_ins.set_password("owner", RIGHT)
    assert WRONG_OF_NAME == WRONG_OF_ADDRESS
    for number in range(WRONG_OF_ADDRESS):
        assert not await bench.is_right("wrong password", name.format(number), address.format(number))
    with pytest.raises(TooManyTries) as locked:
        await bench.is_right(RIGHT, *last)
    assert 0 < locked.value.wait_s <= WRONG_TOKENS_S
    if name != "owner":
        assert await bench.is_right(RIGHT, address="198.51.100.1")
    bench.clock.forward(s=WRONG_TOKENS_S)
    assert await bench.is_right(RIGHT, *last)


async def test_thousands_of_wrong_ones_cost_sixty_hashes(bench: Bench) -> None:
    """From everywhere at once, for every name: what is hashed is what gives an answer."""
    told: list[object] = []
    for start in range(0, 2_000, 500):
        guesses = (
            bench.is_right("wrong password", f"name {number}", f"10.0.{number >> 8}.{number & 255}")
            for number in range(start, start + 500)
        )
        told += await asyncio.gather(*guesses, return_exceptions=True)
    kinds = [type(one) for one in told]
    assert not any(one is True for one in told)
    # They came in one moment, and only so many may wait.
    assert (kinds.count(bool), kinds.count(Overloaded)) == (MAX_WAITING, WRONG_OF_ALL - MAX_WAITING)
    assert kinds.count(TooManyTries) == 2_000 - WRONG_OF_ALL
