"""Bearer: which app a request reaches, and how many wrong tokens an address may show."""

from __future__ import annotations

import json

import pytest
from starlette.requests import Request

from microclaw.host.auth.codes import MAX_ADDRESSES, WRONG_TOKENS_S
from microclaw.host.auth.people import People
from microclaw.host.auth.tokens import PersonTokens
from microclaw.host.operations.operation import Access
from microclaw.host.store.database import Database
from microclaw.host.store.people import PeopleTable, Person, PersonTokenTable
from microclaw.interfaces.api.caller import CALLER_KEY, Caller, caller_of
from microclaw.interfaces.api.credentials import WRONG_TOKENS, Callers
from microclaw.interfaces.api.failures import Refused


class Bench:
    """A clock, tokens of the owner and of a guest, and the callers that were let in."""

    def __init__(self, tokens: PersonTokens, secrets: dict[str, str]) -> None:
        self.now_s = 1000.0
        self.secrets = secrets
        self.tokens = tokens
        self.numbers: tuple[bytes, ...] = ()
        self.let_in: list[Caller] = []
        self.callers = Callers(tokens, now_s=lambda: self.now_s)

    async def ask(self, *shown: str, path: str = "/v1/status", address: str = "127.0.0.1") -> tuple[int, bytes]:
        headers = [(b"authorization", value.encode()) for value in shown]
        headers += [(b"microclaw-request", number) for number in self.numbers]
        scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "client": (address, 1)}
        try:
            caller = await self.callers.caller(scope)
        except Refused as exc:
            answer = exc.response(path)
            return answer.status_code, bytes(answer.body)
        assert caller is not None
        self.let_in.append(caller)
        return 200, b""


@pytest.fixture
async def bench(database: Database) -> Bench:
    await PeopleTable(database).put(Person("p-g", "Gus", "guest", 1), 1)
    tokens = PersonTokens(PersonTokenTable(database), await People.open(database))
    secrets = {who: await tokens.create(who, who) for who in ("owner", "p-g")}
    return Bench(tokens, secrets)


async def test_a_request_is_known_by_its_number_where_that_is_one(bench: Bench) -> None:
    number = b"0123456789abcdef"
    for numbers in ((), (number,), (number, number), (b"owner",), (b"A" * 16,), (b"a" * 33,), (b"a.b" * 6,)):
        bench.numbers = numbers
        assert (await bench.ask(f"Bearer {bench.secrets['owner']}"))[0] == 200
    first, numbered = bench.let_in[:2]
    assert [caller.request for caller in bench.let_in] == ["", number.decode(), "", "", "", "", ""]
    assert numbered.job == f"{first.source}.{number.decode()}"
    jobs = {caller_of(Request({"type": "http", "headers": [], CALLER_KEY: first})).job for _ in range(2)}
    assert len(jobs - {f"{first.source}."}) == 2, "each without a number has one of ours"


async def test_what_is_not_for_every_role_is_the_owners(bench: Bench) -> None:
    for path in ("/v1/people", "/v1/tokens", "/v1/config", "/v1/chatter", "/v1/anything-new", "/v1"):
        assert (await bench.ask(f"Bearer {bench.secrets['p-g']}", path=path))[0] == 403
        assert (await bench.ask(f"Bearer {bench.secrets['owner']}", path=path))[0] == 200
    good = f"Bearer {bench.secrets['owner']}"
    for shown in ((good, good), (f"Basic {bench.secrets['owner']}",), (bench.secrets["owner"],), ("",)):
        assert (await bench.ask(*shown))[0] == 401  # two headers, or another scheme
    bench.callers = Callers(bench.tokens, access=lambda _method, _path: Access.ASK)  # as the chat gateway, at any path
    secret = await bench.tokens.create("screen", "owner", scope="read")
    for token, status in ((secret, 403), (bench.secrets["p-g"], 200)):
        assert (await bench.ask(f"Bearer {token}", path="/ws"))[0] == status


async def test_after_ten_wrong_tokens_an_address_waits_with_its_wrong_ones(bench: Bench) -> None:
    for _ in range(WRONG_TOKENS):
        assert (await bench.ask("Bearer mc_guess"))[0] == 401
    status, body = await bench.ask("Bearer mc_guess")
    assert (status, json.loads(body)["error"]["code"]) == (429, "too_many_tries")
    assert (await bench.ask("Bearer mc_guess", address="127.0.0.2"))[0] == 401
    assert (await bench.ask(f"Bearer {bench.secrets['owner']}"))[0] == 200  # a right one still comes in
    bench.now_s += WRONG_TOKENS_S
    assert (await bench.ask("Bearer mc_guess"))[0] == 401


async def test_addresses_kept_are_bounded(bench: Bench) -> None:
    for number in range(MAX_ADDRESSES + 50):
        await bench.ask("Bearer x", address=f"10.0.{number // 256}.{number % 256}")
    assert len(bench.callers._wrong._times) == MAX_ADDRESSES
