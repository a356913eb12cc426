"""What a person did at one host of a cluster counts at the other: people, roles, tokens, sessions, codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.auth.conftest import Clock
from tests.store.two_hosts import hold_news, two_hosts, until

from microclaw.audit import no_record
from microclaw.auth.admission import Admission, open_admission
from microclaw.auth.passwords import Passwords
from microclaw.auth.people import People, Person
from microclaw.auth.people_codes import WRONG_CODES
from microclaw.auth.sign_ins import CODE_S, MAX_CODES, SignIns
from microclaw.auth.watches import TokenWatch
from microclaw.config.load import load_settings
from microclaw.errors import ConfigError, PermissionRefused, UnknownName
from microclaw.store.codes import CodeTable
from microclaw.store.people import PeopleTable
from microclaw.store.postgres import SharedDatabase
from microclaw.store.sign_ins import PasswordTable, SignInTable


@pytest.fixture
async def copies(database_url: str) -> AsyncIterator[tuple[SharedDatabase, SharedDatabase]]:
    async with two_hosts(database_url) as copies:
        yield copies


@pytest.fixture
async def hosts(copies: tuple[SharedDatabase, SharedDatabase], tmp_path: Path) -> tuple[Admission, Admission]:
    here, there = copies
    settings = load_settings({}, home=tmp_path)
    return await open_admission(settings, here, no_record), await open_admission(settings, there, no_record)


async def ended(watch: TokenWatch) -> None:
    async with asyncio.timeout(60):
        await watch.until_ended()


async def test_a_person_and_a_role_of_one_host_are_the_others_too(hosts: tuple[Admission, Admission]) -> None:
    here, there = hosts
    ada = await there.people.add("Ada", "guest")
    await until(lambda: here.people.get(ada.person_id) == ada)
    code = await there.people.ask_pairing("telegram", "42", "Ada")
    await there.people.pair(code, name="Ada")
    await until(lambda: here.people.addresses(ada.person_id) == (("telegram", "42"),))
    assert await here.people.find("telegram", "42") == ada


async def test_a_removed_token_ends_its_stream_at_the_other_host(hosts: tuple[Admission, Admission]) -> None:
    here, there = hosts
    secret = await there.tokens.create("script", "owner")
    token = await here.tokens.who(secret)
    assert token is not None
    async with here.watching(token.token_id) as watch:
        assert watch.check()
        await there.tokens.remove("script")
        await ended(watch)
    assert await here.tokens.who(secret) is None


async def test_a_lower_role_ends_the_streams_of_its_token_and_session_at_the_other_host(
    hosts: tuple[Admission, Admission],
) -> None:
    here, there = hosts
    ada = await there.people.add("Ada", "member")
    await until(lambda: here.people.get(ada.person_id))
    secret = await here.tokens.create("script", ada.person_id)
    token = await here.tokens.who(secret)
    opened = await here.sign_ins.with_code(await here.sign_ins.new_code("Ada"), address="::1", agent="a browser")
    assert token is not None
    assert opened is not None
    async with here.watching(token.token_id) as first, here.watching(opened.sign_in.sign_in_id) as second:
        assert first.check()
        assert second.check()
        await there.people.change_role("Ada", "guest")
        await ended(first)
        await ended(second)


async def test_a_removed_person_takes_tokens_and_sessions_along_at_the_other_host(
    hosts: tuple[Admission, Admission],
) -> None:
    here, there = hosts
    ada = await there.people.add("Ada", "member")
    await until(lambda: here.people.get(ada.person_id))
    opened = await here.sign_ins.with_code(await here.sign_ins.new_code("Ada"), address="::1", agent="a browser")
    assert opened is not None
    async with here.watching(opened.sign_in.sign_in_id) as watch:
        assert watch.check()
        await there.people.remove("Ada")
        await ended(watch)
    await until(lambda: here.people.get(ada.person_id) is None)
    assert await here.sign_ins.who(opened.secret) is None


async def test_a_session_that_ends_at_one_host_ends_at_the_other(
    hosts: tuple[Admission, Admission], copies: tuple[SharedDatabase, SharedDatabase]
) -> None:
    here, there = hosts
    opened = await here.sign_ins.with_code(await here.sign_ins.new_code(), address="::1", agent="a browser")
    assert opened is not None
    async with here.watching(opened.sign_in.sign_in_id) as watch:
        assert watch.check()
        await there.sign_ins.end(opened.sign_in.sign_in_id)
        await ended(watch)


async def test_one_name_at_two_hosts_at_once_is_one_persons_and_the_other_hears_the_usual_words(
    hosts: tuple[Admission, Admission],
) -> None:
    added = await asyncio.gather(*(host.people.add("Ada", "guest") for host in hosts), return_exceptions=True)
    (error,) = (outcome for outcome in added if isinstance(outcome, BaseException))
    assert isinstance(error, ConfigError)
    assert [[person.name for person in host.people.list()] for host in hosts] == [["owner", "Ada"]] * 2


async def test_a_change_that_comes_behind_a_persons_removal_does_not_bring_them_back(
    hosts: tuple[Admission, Admission], copies: tuple[SharedDatabase, SharedDatabase]
) -> None:
    here, there = hosts
    ada = await there.people.add("Ada", "guest")
    await until(lambda: here.people.get(ada.person_id))
    hold_news(copies[0])
    await there.people.remove("Ada")
    with pytest.raises(ConfigError):  # it does not know of it yet
        await here.people.change_role("Ada", "member")
    for copy in copies:
        assert [row.name for row in await PeopleTable(copy).list()] == ["owner"]
    assert here.people.get(ada.person_id) is None


async def test_a_code_of_the_bot_is_good_at_every_host_and_once_over_all(
    hosts: tuple[Admission, Admission], copies: tuple[SharedDatabase, SharedDatabase]
) -> None:
    here, there = hosts
    code = await here.people.ask_pairing("telegram", "42", "Ada")
    assert [one.display_name for one in await there.people.asking()] == ["Ada"]
    with pytest.raises(ConfigError):
        await there.people.pair(code, name="!!")
    paired = await asyncio.gather(*(host.people.pair(code) for host in (there, here)), return_exceptions=True)
    (ada,) = (outcome for outcome in paired if isinstance(outcome, Person))
    (error,) = (outcome for outcome in paired if isinstance(outcome, BaseException))
    assert isinstance(error, UnknownName)
    await until(lambda: all(host.people.addresses(ada.person_id) == (("telegram", "42"),) for host in hosts))
    assert not any([await host.people.asking() for host in hosts])


async def test_an_account_that_another_host_gives_a_code_has_one_alone(
    hosts: tuple[Admission, Admission], copies: tuple[SharedDatabase, SharedDatabase]
) -> None:
    here, there = hosts
    before = await here.people.ask_pairing("telegram", "42", "Ada")
    code = await there.people.ask_pairing("telegram", "42", "Ada")
    assert await there.people.ask_pairing("telegram", "42", "Ada") == code
    assert len(await here.people.asking()) == 1
    with pytest.raises(UnknownName):
        await there.people.pair(before)
    assert (await here.people.pair(code)).name == "Ada"


async def test_wrong_codes_are_counted_and_no_code_is_in_the_store(
    hosts: tuple[Admission, Admission], copies: tuple[SharedDatabase, SharedDatabase]
) -> None:
    here, there = hosts
    code, link = await here.people.ask_pairing("telegram", "42", "Ada"), await here.sign_ins.new_code()
    for number in range(WRONG_CODES):
        with pytest.raises(UnknownName):
            await there.people.pair(f"x{number}")
    with pytest.raises(PermissionRefused):
        await there.people.pair(code)
    rows = await copies[1].read(lambda c: c.execute("SELECT * FROM one_time_codes").fetchall())
    assert len(rows) == 2
    assert not any(code in repr(row) or link in repr(row) for row in rows)
    assert (await here.people.pair(code)).name == "Ada"


async def test_a_link_of_one_host_signs_in_once_at_whichever(hosts: tuple[Admission, Admission]) -> None:
    here, there = hosts
    await here.people.add("Ada", "member")
    code = await here.sign_ins.new_code("Ada")  # the other host may not know her yet
    using = (host.sign_ins.with_code(code, address="::1", agent="a browser") for host in (there, here))
    (opened,) = [one for one in await asyncio.gather(*using) if one is not None]
    assert opened.sign_in.person.name == "Ada"
    for host in hosts:
        found = await host.sign_ins.who(opened.secret)
        assert found is not None
        assert found.person.name == "Ada"


async def test_links_of_all_hosts_together_are_bounded_and_end_by_the_clock_of_the_host_where_they_are_used(
    copies: tuple[SharedDatabase, SharedDatabase],
) -> None:
    clocks = Clock(), Clock()
    here, there = [await _sign_ins(copy, clock) for copy, clock in zip(copies, clocks, strict=True)]
    codes = []
    for number in range(MAX_CODES + 1):
        clocks[0].now_s += 1
        clocks[1].now_s += 1
        codes.append(await (here, there)[number % 2].new_code())
    assert await there.with_code(codes[0], address="::1", agent="") is None  # it gave way to the newest
    assert await there.with_code(codes[1], address="::1", agent="") is not None
    clocks[1].now_s += CODE_S
    assert await there.with_code(codes[2], address="::1", agent="") is None
    assert await here.with_code(codes[2], address="::1", agent="") is not None


async def _sign_ins(copy: SharedDatabase, clock: Clock) -> SignIns:
    codes = CodeTable(copy)
    people = await People.opened(PeopleTable(copy), now_s=clock, codes=codes)
    return SignIns(SignInTable(copy), people, Passwords(PasswordTable(copy), people), now_s=clock, codes=codes)


async def test_of_two_tokens_of_one_name_at_once_the_second_is_refused_in_words(
    hosts: tuple[Admission, Admission], copies: tuple[SharedDatabase, SharedDatabase]
) -> None:
    for copy in copies:
        hold_news(copy)
    found = await asyncio.gather(*(host.tokens.create("script", "owner") for host in hosts), return_exceptions=True)
    (refused,) = [one for one in found if not isinstance(one, str)]
    assert isinstance(refused, ConfigError)


@pytest.mark.parametrize("what", ["person", "token", "session"])
async def test_what_two_hosts_remove_at_once_is_removed_once(
    hosts: tuple[Admission, Admission], copies: tuple[SharedDatabase, SharedDatabase], what: str
) -> None:
    here, there = hosts
    ada = await here.people.add("Ada", "member")
    await here.tokens.create("script", "owner")
    opened = await here.sign_ins.with_code(await here.sign_ins.new_code(), address="a", agent="b")
    assert opened is not None
    await until(lambda: there.people.get(ada.person_id))
    removing = {
        "person": lambda host: host.people.remove("Ada"),
        "token": lambda host: host.tokens.remove("script"),
        "session": lambda host: host.sign_ins.end(opened.sign_in.sign_in_id),
    }
    for copy in copies:
        hold_news(copy)
    found = await asyncio.gather(*(removing[what](host) for host in hosts), return_exceptions=True)
    assert sorted(isinstance(one, UnknownName) for one in found) == [False, True]
    assert not any(isinstance(one, Exception) and not isinstance(one, UnknownName) for one in found)
