"""A browser's way in, over real HTTP: links, passwords, cookies, and what a page of somebody else cannot do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.interfaces.api.conftest import Answer, answer_of

from microclaw.app import running_host
from microclaw.host.auth.sign_ins import WRONG_OF_ADDRESS
from microclaw.host.config.load import load_settings
from microclaw.interfaces.api.host import HostInfo


@dataclass(frozen=True)
class Browser:
    """Requests as a browser sends them; its cookie and word are given with each."""

    host: HostInfo

    @property
    def address(self) -> tuple[str, int]:
        found = urlsplit(str(self.host.http))
        return str(found.hostname), int(found.port or 0)

    async def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = HTTPConnection(*self.address, timeout=60)
        return await asyncio.to_thread(answer_of, connection, method, path, body, headers)

    async def sign_in(self, who: str = "owner") -> tuple[dict[str, str], dict[str, str]]:
        """The headers of a session, without and with its word."""
        code = await self.host.admission.sign_ins.new_code(who)
        answer = await self.ask("POST", "/v1/signin/code", {"code": code})
        assert answer.status == 200, answer.body
        cookie = {"Cookie": str(answer.headers["Set-Cookie"]).partition(";")[0]}
        return cookie, {**cookie, "Microclaw-CSRF": answer.json["csrf"]}


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


async def test_a_page_of_somebody_else_is_refused_also_for_signing_in(browser: Browser) -> None:
    code = await browser.host.admission.sign_ins.new_code()
    _, own = await browser.sign_in()
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"https://127.0.0.1:{browser.address[1]}"):
        headers = {"Origin": origin}
        assert (await browser.ask("POST", "/v1/signin/code", {"code": code}, headers)).status == 403
        assert (await browser.ask("GET", "/v1/me", headers={**own, **headers})).status == 403
    assert (await browser.ask("POST", "/v1/signin/code", {"code": code})).status == 200  # it was not used up


async def test_an_ended_session_is_forgotten_and_its_open_stream_ends(browser: Browser) -> None:
    cookie, own = await browser.sign_in()
    connection = HTTPConnection(*browser.address, timeout=60)

    def begin() -> HTTPResponse:
        connection.request("GET", "/v1/events", headers=cookie)
        answer = connection.getresponse()
        assert answer.readline().startswith(b"retry:")
        return answer

    stream = await asyncio.to_thread(begin)
    out = await browser.ask("POST", "/v1/signout", headers=own)
    assert (out.status, "Max-Age=0" in str(out.headers["Set-Cookie"])) == (200, True)
    with suppress(ConnectionError, HTTPException):
        await asyncio.to_thread(stream.read)  # until the host cuts it off
    connection.close()
    late = await browser.ask("GET", "/v1/status", headers=cookie)
    assert (late.status, late.headers["Set-Cookie"]) == (401, None), "it may come after the answer to a new sign-in"
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


async def test_a_huge_body_is_refused_before_anything_is_hashed(browser: Browser) -> None:
    for size, status in ((2 << 20, 413), (1000, 422)):
        guess = {"name": "ada", "password": "x" * size}
        assert (await browser.ask("POST", "/v1/signin/password", guess)).status == status


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
            for name, value in (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")):
                assert answer.headers.get_all(name) == [value]
            (policy,) = answer.headers.get_all("Content-Security-Policy") or []
            assert policy.startswith("default-src 'none'")
            assert ("frame-ancestors 'none'" in policy, "unsafe-eval" in policy) == (True, False)
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
