"""Every operation of the OpenAPI document x every role, by Schemathesis, and with hostile values of our own.

Requests that fit the document and requests that do not are made once, the same ones on each run, over HTTP to a host
in this process: the first of an operation by every role and by nobody, the others by the owner. An
answer has to be what the document says; no input of anybody is a fault of the host.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, Response
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.openapi.checks import IgnoredAuth
from schemathesis.specs.openapi import checks
from tests.interfaces.api.people_host import BLINK, PeopleHost, people_host

from microclaw.host.config.settings import AgentSettings
from microclaw.interfaces.api.failures import STATUS_BY_CODE

Operation: TypeAlias = schemathesis.APIOperation[Any, Any, Any, Any]
Case: TypeAlias = schemathesis.Case[Operation]

CALLERS: Final = ("owner", "ada", "gus", "rod", None)  # owner, member, guest, read-only, no token
EXAMPLES: Final = 1  # of each kind and operation
AT_ONCE: Final = 8
ANSWER_S: Final = 240
FAULTS_SHOWN: Final = 20
REAL: Final = {"name": "virtual-1", "device": "virtual-1"}
OURS: Final = {
    "internal_error",
    "failed",
    "store_error",
    "store_missing",
    "store_owned",
    "store_unreachable",
    "store_unwritable",
    "taken_over",
}
NAMES: Final = ["virtual-1", "blink", "ada", "owner", "1", "2s", "gpio.set", BLINK, "print(1)", "every day at 8:00"]
CONFIG: Final[dict[str, Any]] = {
    "request-timeout": ANSWER_S,
    "dictionaries": {"names": {"values": NAMES}},
    "generation": {
        "with-security-parameters": False,  # a caller's token is the caller's; wrong ones are `asks_for_a_token`'s
        "dictionaries": {"string": {"dictionary": "names", "probability": 0.4}},
    },
    "analysis": {"constants": {"enabled": False}},  # else the words of whatever was imported before are tried
    # A device, a model or a limit may be the reason: `says_why` looks at the code.
    "checks": {"not_a_server_error": {"expected-statuses": ["2xx", "4xx", 502, 503, 504]}},
}
HOSTILE: Final[tuple[Any, ...]] = (
    *("", " ", "\0", "../../etc/passwd", "a" * 5000, "\u202egnp", "'; DROP TABLE people;--", "<script>", "%2e%2e%2f"),
    *("-1", "1e309", "null", "\r\nX: y", "d-0", "{}", "http://169.254.169.254/", "\ud83d", {"a": {"a": {}}}),
    *(0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 1e308, 0.5, True, False, None, [], {}, [[]] * 50, ["x"] * 300),
)
NO_JSON: Final = (b"", b"{", b"\xff\xfe", b"[" * 3000, b'{"a":1,"a":2}', b"null", b'"x"', b"1" * 5000, b"\0" * 64)


def error_of(response: Response) -> Mapping[str, Any]:
    try:
        error = json.loads(response.content)["error"]
    except (ValueError, TypeError, KeyError):
        return {}  # it says nothing, and the checks of its form name it
    if isinstance(error, dict):
        return error
    return {}


def says_why(_ctx: CheckContext, response: Response, case: Case) -> None:
    """A check: an error says something, and a 5xx has the code of its reason, which is not this host."""
    if response.status_code < 400:
        return
    error = error_of(response)
    code = str(error.get("code"))
    status = response.status_code
    if not error.get("message") or code in OURS or (status >= 500 and STATUS_BY_CODE.get(code) != status):
        raise Failure(operation=case.operation.label, title="A fault of the host", message=str(error)[:500])


def form_is_documented(_ctx: CheckContext, response: Response, case: Case) -> None:
    """A check: what fits the document is not refused for its form.

    In the place of Schemathesis' `positive_data_acceptance`: most strings that fit name no device, time or program.
    """
    positive = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if positive and response.status_code in (400, 422):
        error = error_of(response)
        is_form = error.get("code", "") == "bad_request" or (error.get("type") and error.get("code") is None)
        if is_form:
            raise Failure(operation=case.operation.label, title="Not as documented", message=str(error)[:500])


def asks_for_a_token(ctx: CheckContext, response: Response, case: Case) -> None:
    """Schemathesis' `ignored_auth`, for which only 401 and 403 are refusals: the eleventh wrong token is told 429."""
    try:
        checks.ignored_auth(ctx, response, case)
    except IgnoredAuth as failure:
        if "got `429 " not in failure.message:
            raise


# Not among them: `positive_data_acceptance` (see `form_is_documented`), and those of one request after another.
FORM: Final = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    not_a_server_error,
    says_why,
]
CHECKS: Final = [*FORM, checks.negative_data_rejection, form_is_documented, asks_for_a_token]


@dataclass(frozen=True)
class Inputs:
    """The cases of every operation. They are made in one thread: Hypothesis is not for several."""

    operations: tuple[Operation, ...]
    cases: tuple[Case, ...]

    @classmethod
    def of(cls, document: dict[str, Any]) -> Inputs:
        schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(CONFIG))
        operations: list[Operation] = []
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            operations.append(found.ok())
        return cls(tuple(operations), tuple(case for operation in operations for case in _cases(operation)))


def _cases(operation: Operation) -> Iterator[Case]:
    yield from examples(operation, GenerationMode.POSITIVE)
    named = {one.name: REAL[one.name] for one in operation.path_parameters if one.name in REAL}
    if named:
        yield from examples(operation, GenerationMode.POSITIVE, path_parameters=named)
    if operation.body or any(_may_be_wrong(one) for one in operation.iter_parameters()):
        yield from examples(operation, GenerationMode.NEGATIVE)


def _may_be_wrong(parameter: Any) -> bool:
    """Any text fits a word of the path that has no limits but to be there."""
    return (
        parameter.definition["in"] != "path"
        or not parameter.definition["schema"].keys() <= {"type", "title", "description", "minLength"}
        or (parameter.definition["schema"]["type"] != "string")
    )


def examples(operation: Operation, mode: GenerationMode, **fixed: Any) -> list[Case]:
    found: list[Case] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(mode, **fixed))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


class Round:
    """Sends requests of all callers and collects what is wrong with the answers."""

    def __init__(self, host: PeopleHost, secrets: Mapping[str, str]) -> None:
        self.host = host
        self.faults: dict[tuple[str, str], str] = {}
        self.statuses: Counter[tuple[str | None, int]] = Counter()
        self._secrets = secrets

    def headers(self, who: str | None) -> dict[str, str]:
        if who is None:
            return {}
        return {"Authorization": f"Bearer {self._secrets[who]}"}

    def send(self, case: Case, who: str | None) -> None:
        sent = case.as_transport_kwargs(base_url=self.host.http, headers=self.headers(who))
        self.check(case, who, CHECKS, **sent)

    def spoil(self, case: Case, who: str | None, chance: random.Random) -> None:
        """A case with one hostile value in it, or with a body that is no JSON."""
        path, query, body = spoiled(case, chance)
        headers = {"Content-Type": "application/json", **self.headers(who)}
        self.check(
            case, who, FORM, method=case.method, url=self.host.http + path, params=query, data=body, headers=headers
        )

    def check(self, case: Case, who: str | None, of: list[Any], **sent: Any) -> None:
        with requests.request(**sent, timeout=ANSWER_S, stream=True) as answered:
            response = _response(answered)
        self.statuses[who, response.status_code] += 1
        headers = self.headers(who)
        try:
            case.validate_response(
                response, of, headers=headers, transport_kwargs={"headers": headers, "base_url": self.host.http}
            )
        except FailureGroup as group:
            for failure in group.exceptions:
                place = (case.operation.label, type(failure).__name__ + str(failure)[:80])
                request = f"{response.request.method} {response.request.url} {response.request.body!r:.300}"
                self.faults.setdefault(place, f"{who}: {request}\n{group.message[:3000]}")


def _response(answered: requests.Response) -> Response:
    """Of a stream of events the head alone: it has no end."""
    if answered.status_code == 200 and answered.headers["Content-Type"].startswith("text/event-stream"):
        headers = {name: [value] for name, value in answered.headers.items()}
        return Response(answered.status_code, headers, b"", answered.request, 0, verify=True)
    return Response.from_any(answered)


def spoiled(case: Case, chance: random.Random) -> tuple[str, dict[str, Any], bytes | None]:
    """Path, query and body."""
    path = dict(case.path_parameters)
    query = dict(case.query)
    has_body = isinstance(case.body, dict | list)
    if has_body:
        body: Any = json.loads(json.dumps(case.body))
    else:
        body = None
    places = [(path, key) for key in path] + [(query, key) for key in query] + ([*_leaves(body)] * 3)
    if has_body and (not places or chance.random() < 0.2):
        return _filled(case, path), query, chance.choice(NO_JSON)
    if places:
        holder, key = chance.choice(places)
        holder[key] = chance.choice(HOSTILE)
    query = {key: str(value)[:2000].encode("utf-8", "surrogatepass") for key, value in query.items()}
    return _filled(case, path), query, json.dumps(body).encode() if has_body else None


def _leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _leaves(value[key])


def _filled(case: Case, values: Mapping[str, Any]) -> str:
    path = str(case.path)
    for name, value in values.items():
        path = path.replace("{" + name + "}", quote(str(value)[:2000].encode("utf-8", "surrogatepass"), safe="") or "x")
    return path


async def test_every_operation_answers_every_role_as_documented(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with people_host(tmp_path / "home", agent=AgentSettings(approval_s=1, turn_s=10)) as host:
        await host.socket("POST", "/v1/people", {"name": "rod", "role": "read-only"})
        token = await host.socket("POST", "/v1/tokens", {"name": "rod", "person": "rod"})
        inputs = await asyncio.to_thread(Inputs.of, await host.socket("GET", "/api/openapi.json"))
        assert len(inputs.operations) > 90
        told = Round(host, {**host.secrets, "rod": token["secret"]})
        await asyncio.to_thread(_ask_all, told, inputs)
        assert (await host.socket("GET", "/healthz"))["ok"] is True
    if told.faults:
        text = "\n".join([*told.faults.values()][:FAULTS_SHOWN])
        pytest.fail(f"{len(told.faults)} kinds of faults:\n{text}", pytrace=False)
    for who in CALLERS:
        assert told.statuses[who, 200], "nothing was let through: the inputs reach no route"
    faults = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert faults == []


def _ask_all(told: Round, inputs: Inputs) -> None:
    chance = random.Random(17)
    first = {case.operation.label: number for number, case in reversed([*enumerate(inputs.cases)])}
    order = [
        (case, who)
        for number, case in enumerate(inputs.cases)
        for who in (CALLERS if first[case.operation.label] == number else ("owner", CALLERS[number % len(CALLERS)]))
    ]
    chance.shuffle(order)  # what one takes away another has asked for before
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sent = [pool.submit(told.send, case, who) for case, who in order]
        sent += [
            pool.submit(told.spoil, case, CALLERS[n % len(CALLERS)], random.Random(n))
            for n, case in enumerate(inputs.cases)
        ]
        for one in sent:
            one.result()
