"""A browser's way in, over real HTTP: links, passwords, cookies, and what a page of somebody else cannot do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.api.conftest import Answer

from microclaw.api.host import Host
from microclaw.app import running_host
from microclaw.auth.sign_ins import WRONG_OF_ADDRESS
from microclaw.config.load import load_settings


@dataclass(frozen=True)
class Browser:
    """Requests as a browser sends them; its cookie and word are given with each."""

    host: Host

    @property
    def address(self) -> tuple[str, int]:
        found = urlsplit(str(self.host.http))
        return str(found.hostname), int(found.port or 0)

    async def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        return await asyncio.to_thread(self._ask, method, path, body, headers or {})

    async def sign_in(self, who: str = "owner") -> tuple[dict[str, str], dict[str, str]]:
        """The headers of a session, without and with its word."""
        code = await self.host.admission.sign_ins.new_code(who)
        answer = await self.ask("POST", "/v1/signin/code", {"code": code})
        assert answer.status == 200, answer.body
        cookie = {"Cookie": str(answer.headers["Set-Cookie"]).partition(";")[0]}
        return cookie, {**cookie, "Microclaw-CSRF": answer.json["csrf"]}

    def _ask(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
        connection = HTTPConnection(*self.address, timeout=60)
        text = body if body is None or isinstance(body, bytes) else json.dumps(body)
        try:
            connection.request(method, path, text, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    settings = load_settings({}, home=tmp_path_factory.mktemp("signin") / "home", http_port=0)
    async with running_host(settings) as host:
        await host.admission.people.add("ada", "member")
        yield Browser(host)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_change_needs_the_word_of_its_own_session(browser: Browser) -> None:
    cookie, _ = await browser.sign_in()
    _, others = await browser.sign_in()
    for word in ("", "0" * 64, others["Microclaw-CSRF"]):
        answer = await browser.ask("PUT", "/v1/memory", {"text": "", "was": ""}, {**cookie, "Microclaw-CSRF": word})
        assert (answer.status, answer.json["error"]["code"]) == (403, "forbidden")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}"])
async def test_a_page_of_somebody_else_is_refused_also_for_signing_in(browser: Browser, origin: str) -> None:
    headers = {"Origin": origin.format(port=browser.address[1])}
    code = await browser.host.admission.sign_ins.new_code()
    assert (await browser.ask("POST", "/v1/signin/code", {"code": code}, headers)).status == 403
    _, own = await browser.sign_in()
    assert (await browser.ask("GET", "/v1/me", headers={**own, **headers})).status == 403
    assert (await browser.ask("POST", "/v1/signin/code", {"code": code})).status == 200  # it was not used up


async def test_an_ended_session_opens_nothing_and_the_browser_forgets_it(browser: Browser) -> None:
    cookie, own = await browser.sign_in()
    out = await browser.ask("POST", "/v1/signout", headers=own)
    assert out.status == 200
    assert "Max-Age=0" in str(out.headers["Set-Cookie"])
    late = await browser.ask("GET", "/v1/status", headers=cookie)
    assert (late.status, "Max-Age=0" in str(late.headers["Set-Cookie"])) == (401, True)
    for path in ("/", "/signin", "/healthz"):  # so that a person can come in again
        assert (await browser.ask("GET", path, headers=cookie)).status == 200
    code = await browser.host.admission.sign_ins.new_code()
    assert (await browser.ask("POST", "/v1/signin/code", {"code": code}, cookie)).status == 200


async def test_two_cookies_of_one_name_are_none(browser: Browser) -> None:
    cookie, _ = await browser.sign_in()
    name = cookie["Cookie"].partition("=")[0]
    for pair in (f"{name}=x; {cookie['Cookie']}", f"{cookie['Cookie']}; {name}=x"):
        assert (await browser.ask("GET", "/v1/me", headers={"Cookie": pair})).status == 401
    assert (await browser.ask("GET", "/v1/me", headers={"Cookie": f"other=1; {cookie['Cookie']}"})).status == 200


async def test_wrong_passwords_are_told_to_wait_and_a_link_still_signs_in(browser: Browser) -> None:
    answers = [
        await browser.ask("POST", "/v1/signin/password", {"name": f"n{number}", "password": "x"})
        for number in range(WRONG_OF_ADDRESS + 3)
    ]
    statuses = [answer.status for answer in answers]
    assert statuses[-1] == 429
    assert set(statuses) == {401, 429}
    assert int(str(answers[-1].headers["Retry-After"])) > 0
    await browser.sign_in()


async def test_an_open_stream_of_events_ends_with_its_session(browser: Browser) -> None:
    cookie, own = await browser.sign_in()

    def read() -> bytes:
        connection = HTTPConnection(*browser.address, timeout=60)
        try:
            connection.request("GET", "/v1/events", headers=cookie)
            answer = connection.getresponse()
            beginning = answer.readline()
            loop.call_soon_threadsafe(begun.set)
            with suppress(ConnectionError, HTTPException):
                answer.read()  # until the host cuts it off
            return beginning
        finally:
            connection.close()

    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    reading = asyncio.create_task(asyncio.to_thread(read))
    async with asyncio.timeout(60):
        await begun.wait()
        assert (await browser.ask("POST", "/v1/signout", headers=own)).status == 200
        assert (await reading).startswith(b"retry:")


async def test_a_huge_body_is_refused_before_anything_is_hashed(browser: Browser) -> None:
    body = b'{"name": "ada", "password": "' + b"x" * (2 << 20) + b'"}'
    assert (await browser.ask("POST", "/v1/signin/password", body)).status == 413
    long = {"name": "ada", "password": "x" * 1000}
    assert (await browser.ask("POST", "/v1/signin/password", long)).status == 422


async def test_no_header_can_be_put_into_an_answer(browser: Browser) -> None:
    """A client's words come back in no header: a code, a name or a path with line ends in it."""
    for path in ("/v1/signin/code%0d%0aX-Evil: 1", "/%0d%0aSet-Cookie:x=1", "/v1/devices/%0d%0aX-Evil:1"):
        answer = await browser.ask("GET", path.replace(" ", "%20"))
        assert answer.headers["X-Evil"] is None
        assert answer.headers["Set-Cookie"] is None
    answer = await browser.ask("POST", "/v1/signin/code", {"code": "x\r\nSet-Cookie: a=b"})
    assert (answer.status, answer.headers["Set-Cookie"]) == (401, None)


async def test_every_answer_says_what_it_is_and_lets_nobody_frame_it(browser: Browser) -> None:
    _, own = await browser.sign_in()
    paths = ("/", "/signin", "/healthz", "/metrics", "/api/openapi.json", "/v1/me", "/v1/nothing")
    for path in paths:
        for headers in ({}, own, {"Host": "evil.example"}, {"Authorization": "Bearer wrong"}):
            answer = await browser.ask("GET", path, headers=headers)
            assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]
            assert answer.headers.get_all("Referrer-Policy") == ["no-referrer"]
            (policy,) = answer.headers.get_all("Content-Security-Policy") or []
            assert "frame-ancestors 'none'" in policy
            assert policy.startswith("default-src 'none'")
            assert "unsafe-eval" not in policy
            is_page = answer.status == 200 and path in ("/", "/signin")
            assert str(answer.headers["Content-Type"]).startswith("text/html") == is_page


async def test_sessions_are_listed_and_ended_by_their_person_or_an_owner(browser: Browser) -> None:
    _, ada = await browser.sign_in("ada")
    _, owner = await browser.sign_in()
    own = (await browser.ask("GET", "/v1/signins", headers=ada)).json["signins"]
    assert {one["person"] for one in own} == {"ada"}
    everybody = (await browser.ask("GET", "/v1/signins", headers=owner)).json["signins"]
    (mine,) = [one["id"] for one in everybody if one["this"]]
    assert (await browser.ask("DELETE", f"/v1/signins/{mine}", headers=ada)).status == 404
    (adas,) = [one["id"] for one in own if one["this"]]
    assert (await browser.ask("DELETE", f"/v1/signins/{adas}", headers=owner)).status == 200
    assert (await browser.ask("GET", "/v1/me", headers=ada)).status == 401
    assert (await browser.ask("GET", "/v1/me", headers=owner)).status == 200
