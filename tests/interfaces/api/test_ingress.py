"""Home Assistant's ingress over real HTTP, with the headers that its core and its Supervisor set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from http.client import HTTPConnection
from typing import Any, Final

import pytest
import pytest_asyncio
from tests.interfaces.api.conftest import Answer, answer_of

from microclaw.app import running_host
from microclaw.host.config.load import load_settings
from microclaw.interfaces.api.host import HostInfo

BELOW: Final = "/api/hassio_ingress/kX3_-abc"
HA: Final = "homeassistant.local:8123"
# What core and Supervisor pass on: the browser's Host and Origin, and what they add.
SENT: Final = {
    "Host": HA,
    "Origin": f"http://{HA}",
    "X-Ingress-Path": BELOW,
    "X-Forwarded-Host": HA,
    "X-Forwarded-Proto": "http",
    "X-Forwarded-For": "192.168.1.20, 172.30.32.1",
    "X-Remote-User-Name": "ada",
}
RIGHT: Final = "correct horse battery"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostInfo]:
    """A host whose ingress is for 127.0.0.1, as the Supervisor's address is not on this machine."""
    home = tmp_path_factory.mktemp("ingress") / "home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text('[host]\ningress = "127.0.0.1:0"\n')
    async with running_host(load_settings({}, home=home, http_port=0), ingress_from="127.0.0.1") as running:
        await running.admission.sign_ins.set_password("owner", RIGHT)
        yield running


async def ask(host: HostInfo, method: str, path: str, body: Any = None, headers: Mapping[str, str] = SENT) -> Answer:
    return await asyncio.to_thread(
        answer_of, HTTPConnection("127.0.0.1", host.ingress, timeout=60), method, path, body, headers
    )


async def sign_in(host: HostInfo, headers: Mapping[str, str] = SENT) -> Answer:
    answer = await ask(host, "POST", "/v1/signin/password", {"name": "owner", "password": RIGHT}, headers)
    assert answer.status == 200, answer.body
    return answer


async def test_the_page_may_be_framed_by_home_assistant_alone_and_has_no_address_from_the_root(host: HostInfo) -> None:
    for path in ("/", "/signin"):
        answer = await ask(host, "GET", path)
        assert answer.status == 200
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
        assert not [one for one in ('href="/', 'fetch("/', '("/v1') if one in answer.body.decode()]
    for path, up in (("/boards/a%2Fb", "../"), ("/boards/a/b", "../../")):
        assert f'src="{up}page/app.js"' in (await ask(host, "GET", path)).body.decode()
    for path in ("/boards" + "/a" * 9, "/kitchen"):
        assert (await ask(host, "GET", path)).status == 404
    answer = await ask(host, "GET", "/memory/")
    assert (answer.status, answer.headers["Location"]) == (307, f"{BELOW}/memory")


async def test_a_session_is_for_this_path_and_does_what_its_person_may_with_its_own_word(host: HostInfo) -> None:
    answer = await sign_in(host)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("microclaw-ingress=")
    assert (f"; Path={BELOW}/;" in cookie, "SameSite=Strict" in cookie, "Secure" in cookie) == (True, True, False)
    secure = await sign_in(host, {**SENT, "Origin": f"https://{HA}", "X-Forwarded-Proto": "https"})
    assert secure.headers["Set-Cookie"].endswith("; Secure")
    session = {**SENT, "Cookie": cookie.partition(";")[0]}
    me = await ask(host, "GET", "/v1/me", headers=session)
    assert (me.status, me.json["name"], me.json["by"]) == (200, "owner", "session")
    assert (await ask(host, "POST", "/v1/signout", headers=session)).status == 403
    out = await ask(host, "POST", "/v1/signout", headers={**session, "Microclaw-CSRF": answer.json["csrf"]})
    assert (out.status, f"Path={BELOW}/; Max-Age=0" in out.headers["Set-Cookie"]) == (200, True)
    assert (await ask(host, "GET", "/v1/me", headers=session)).status == 401


async def test_home_assistants_user_is_nobody_here(host: HostInfo) -> None:
    assert (await ask(host, "GET", "/v1/status", headers={**SENT, "X-Remote-User-Id": "1"})).status == 401
    compile_wasm = {"sourceCode": "void on_init(void) {}"}  # which needs no token on loopback
    assert (await ask(host, "POST", "/api/compile-wasm", compile_wasm)).status == 401


async def test_a_page_from_elsewhere_and_what_is_no_path_of_ingress_are_refused(host: HostInfo) -> None:
    for origin in ("http://evil.example", f"https://{HA}", "http://homeassistant.local", "null"):
        assert (await ask(host, "GET", "/v1/me", headers={**SENT, "Origin": origin})).status == 403
    for path in ("", "/", "/api/hassio_ingress/", f"{BELOW}/../x", f"{BELOW}; Path=/", "//evil.example"):
        answer = await ask(host, "GET", "/", headers={**SENT, "X-Ingress-Path": path})
        assert (answer.status, answer.headers["X-Frame-Options"]) == (400, "DENY")
    watchdog = await ask(host, "GET", "/healthz", headers={})  # needs no browser
    assert (watchdog.status, watchdog.json["ok"]) == (200, True)


async def test_nobody_but_the_supervisor_is_answered_and_off_is_the_default(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("door") / "home"
    settings = load_settings({"MICROCLAW_HOST__INGRESS": "127.0.0.1:0"}, home=home, http_port=None)
    async with running_host(settings) as running:
        for path in ("/", "/healthz"):
            assert (await ask(running, "GET", path)).status == 403
    async with running_host(load_settings({}, home=home, http_port=None)) as running:
        assert running.ingress is None
