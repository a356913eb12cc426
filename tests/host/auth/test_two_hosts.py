"""An act of a person at one host of a cluster counts at the other: people, roles, tokens, sessions, codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.host.store.two_hosts import hold_news, two_hosts, until

from microclaw.errors import ConfigError, UnknownName
from microclaw.host.audit.event import no_record
from microclaw.host.auth.admission import Admission, open_admission
from microclaw.host.auth.sign_ins import OpenedSession
from microclaw.host.config.load import load_settings
from microclaw.host.store.people import PeopleTable, Person
from microclaw.host.store.postgres import SharedDatabase


@pytest.fixture
async def copies(database_url: str) -> AsyncIterator[tuple[SharedDatabase, SharedDatabase]]:
    async with two_hosts(database_url) as copies:
        yield copies


@pytest.fixture
async def hosts(copies: tuple[SharedDatabase, SharedDatabase], tmp_path: Path) -> tuple[Admission, Admission]:
    here, there = copies
    settings = load_settings({}, home=tmp_path)
    return await open_admission(settings, here, no_record), await open_admission(settings, there, no_record)


async def signed_in(host: Admission, name: str = "owner") -> OpenedSession:
    opened = await host.sign_ins.with_code(await host.sign_ins.new_code(name), address="::1", agent="a browser")
    assert opened is not None
    return opened


@pytest.mark.parametrize("end", ["token", "session", "role", "person"])
async def test_what_ends_at_one_host_ends_the_streams_of_the_other(
    hosts: tuple[Admission, Admission], end: str
) -> None:
    here, there = hosts
    ada = await there.people.add("Ada", "member")
    await until(lambda: here.people.get(ada.person_id))
    secret = await there.tokens.create("script", ada.person_id)
    token = await here.tokens.authenticate(secret)
    opened = await signed_in(here, "Ada")
    assert token is not None
    async with here.watch(token.token_id) as first, here.watch(opened.sign_in.sign_in_id) as second:
        assert (first.check(), second.check()) == (True, True)
        ending: dict[str, Callable[[], Awaitable[object]]] = {
            "token": lambda: there.tokens.remove("script"),
            "session": lambda: there.sign_ins.end(opened.sign_in.sign_in_id),
            "role": lambda: there.people.change_role("Ada", "guest"),
            "person": lambda: there.people.remove("Ada"),
        }
        await ending[end]()
        for watch in [watch for watch, other in ((first, "session"), (second, "token")) if end != other]:
            async with asyncio.timeout(60):
                await watch.until_ended()
    assert (await here.tokens.authenticate(secret) is None) == (end in ("token", "person"))
    assert (await here.sign_ins.authenticate(opened.secret) is None) == (end in ("session", "person"))


async def test_a_name_that_two_hosts_give_at_once_is_one_persons_or_tokens(hosts: tuple[Admission, Admission]) -> None:
    for add in (lambda host: host.people.add("Ada", "guest"), lambda host: host.tokens.create("script", "owner")):
        added = await asyncio.gather(*map(add, hosts), return_exceptions=True)
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


async def test_a_code_of_the_bot_is_an_accounts_only_one_good_at_every_host_and_once_over_all(
    hosts: tuple[Admission, Admission], copies: tuple[SharedDatabase, SharedDatabase]
) -> None:
    here, there = hosts
    before = await there.people.ask_pairing("telegram", "42", "Ada")
    code = await here.people.ask_pairing("telegram", "42", "Ada")
    assert await here.people.ask_pairing("telegram", "42", "Ada") == code
    assert [row.about for row in await there.people.list_waiting_codes()] == ["Ada"]
    rows = await copies[1].read(lambda c: c.execute("SELECT * FROM codes").fetchall())
    assert code not in repr(rows)
    with pytest.raises(UnknownName):
        await there.people.pair(before)
    with pytest.raises(ConfigError):
        await there.people.pair(code, name="!!")
    paired = await asyncio.gather(*(host.people.pair(code) for host in (there, here)), return_exceptions=True)
    (ada,) = (outcome for outcome in paired if isinstance(outcome, Person))
    (error,) = (outcome for outcome in paired if isinstance(outcome, BaseException))
    assert isinstance(error, UnknownName)
    for host in hosts:
        await until(lambda host=host: getattr(host.people.get(ada.person_id), "addresses", ()))  # type: ignore[misc]
        assert await host.people.find("telegram", "42") == ada
        assert not await host.people.list_waiting_codes()


async def test_a_link_of_one_host_signs_in_once_at_whichever(hosts: tuple[Admission, Admission]) -> None:
    here, there = hosts
    await here.people.add("Ada", "member")
    code = await here.sign_ins.new_code("Ada")  # the other host may not know her yet
    using = (host.sign_ins.with_code(code, address="::1", agent="a browser") for host in (there, here))
    (opened,) = [one for one in await asyncio.gather(*using) if one is not None]
    assert opened.sign_in.person.name == "Ada"
    for host in hosts:
        found = await host.sign_ins.authenticate(opened.secret)
        assert found is not None
        assert found.person.name == "Ada"
