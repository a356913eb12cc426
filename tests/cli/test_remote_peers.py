"""--host and what may be at the other end: TLS, proxies, older hosts, hosts that are none; a turn's question."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.cli.conftest import Ran, clean_environ, run_in
from tests.cli.https_front import Answer, answering, tls_front, write_certificate
from tests.cli.test_cancel import SilentModel, model
from tests.cli.test_chat import SENTENCE, TIMEOUT_S, Screen, host_with, tainted_act
from tests.cli.test_remote_host import lines, run_at
from tests.models.model_server import server

from microclaw import __version__
from microclaw.cli.child import Child

__all__ = ["model"]  # the fixture

SECRET = "mc_" + "s" * 43
VERSION: dict[str, Answer] = {"/healthz": (200, {}, b'{"ok": true, "version": "0.0.1"}')}


def no_route(path: str) -> bytes:
    failure = {"code": "not_found", "message": f"Not Found: GET {path}", "next": "see /api/docs", "exit_code": 1}
    return json.dumps({"error": failure}).encode()


def tell(home: Path, place: str, *words: str, secret: str = SECRET, **variables: str) -> Ran:
    return run_at(home, {"MICROCLAW_HOST": place, "MICROCLAW_TOKEN": secret, **variables}, *words)


@pytest.fixture
def owner(host: dict[str, Any], request: pytest.FixtureRequest) -> str:
    made = run_in(Path(host["home"]), "token", "create", request.node.name[:30].replace("[", " ").rstrip("]"))
    assert made.code == 0, made.err
    return made.out.splitlines()[0]


def test_tls_is_verified_and_an_authority_of_ones_own_is_named(
    host: dict[str, Any], owner: str, tmp_path: Path
) -> None:
    certificate, key = write_certificate(tmp_path, "localhost")
    inner = urlsplit(host["http"]).port
    assert inner is not None
    with tls_front(certificate, key, inner) as port:
        place = f"https://localhost:{port}"
        refused = tell(tmp_path / "h", place, "device", "list", secret=owner)
        error, step = lines(refused)
        assert refused.code == 1
        assert error.startswith(f"error: {place} cannot prove that it is that host: self-signed certificate")
        assert "MICROCLAW_CA=" in step
        trusted = tell(tmp_path / "h", place, "device", "list", secret=owner, SSL_CERT_FILE=str(certificate))
        assert (trusted.code, "virtual-1" in trusted.out) == (0, True), trusted.err
        said = tell(tmp_path / "h", place, "chat", "set pin 6 on", secret=owner, SSL_CERT_FILE=str(certificate))
        assert said.code == 0, said.err
        other = tell(
            tmp_path / "h", f"https://127.0.0.1:{port}", "status", secret=owner, SSL_CERT_FILE=str(certificate)
        )
        assert "IP address mismatch" in lines(other)[0]
    plain = tell(tmp_path / "h", f"https://127.0.0.1:{inner}", "status", secret=owner)
    assert (plain.code, "does not speak TLS" in lines(plain)[0]) == (3, True)


def test_a_redirection_is_not_followed_and_the_token_stays(tmp_path: Path) -> None:
    with answering({"": (200, {}, b"{}")}) as elsewhere:
        moved = {"": (302, {"Location": f"{elsewhere.url}/v1/status"}, b"")}
        with answering(moved) as first:
            ran = tell(tmp_path, first.url, "status")
            assert first.asked == [("/v1/status", f"Bearer {SECRET}")]
        assert elsewhere.asked == []
    assert ran.code == 1
    assert f"sends on to {elsewhere.url}/v1/status, and the token goes to nobody else" in lines(ran)[0]
    assert SECRET not in ran.err + ran.out


@pytest.mark.parametrize(
    ("status", "body", "code", "said", "step"),
    [
        (502, b"<html>Bad Gateway", 3, "answers 502: the host behind it is away", "microclaw up on that machine"),
        (403, b"<html>Forbidden", 1, "lets nobody in (403)", "let it pass requests on to the host"),
        (404, b"<html>Not Found", 1, "is no microclaw host", "is the address right?"),
        (200, b"<html>Welcome", 1, "is no microclaw host", "is the address right?"),
    ],
)
def test_what_is_no_host_is_told_from_a_host_that_is_away(
    tmp_path: Path, status: int, body: bytes, code: int, said: str, step: str
) -> None:
    with answering({"": (status, {}, body)}) as peer:
        ran = tell(tmp_path, peer.url, "status")
    error, following = lines(ran)
    assert (ran.code, said in error, step in following) == (code, True, True), ran.err


def test_a_proxy_that_keeps_its_own_name_is_told_what_to_send(host: dict[str, Any], tmp_path: Path) -> None:
    place = urlsplit(host["http"])
    connection = HTTPConnection(str(place.hostname), place.port, timeout=TIMEOUT_S)
    with closing(connection):  # what the host itself says behind such a proxy
        connection.request("GET", "/v1/status", headers={"Host": "house.example"})
        answer = connection.getresponse()
        refusal: Answer = (answer.status, {}, answer.read())
    assert refusal[0] == 403
    with answering({"": refusal}) as proxy:
        ran = tell(tmp_path, proxy.url, "status")
    assert lines(ran)[1] == "next: let the proxy there send the header Host: localhost"


def test_an_older_host_is_named_with_both_versions(tmp_path: Path) -> None:
    answers = {**VERSION, "": (404, {}, no_route("/v1/usage")), "/v1/status": (200, {}, b'{"ok": true}')}
    with answering(answers) as old:
        missing = tell(tmp_path, old.url, "usage")
        changed = tell(tmp_path, old.url, "status")
    error, step = lines(missing)
    assert error.startswith(
        f"error: {old.url} runs microclaw 0.0.1, and this is {__version__}: it does not know GET /v1/u"
    )
    assert "install the same version on both" in step
    assert "they do not understand each other" in lines(changed)[0]
    assert (missing.code, changed.code) == (1, 1)


def test_ctrl_c_cancels_a_turn_at_an_address(model: SilentModel, tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    environ = {**clean_environ(home), "OPENAI_BASE_URL": model.url, "MICROCLAW_MODEL": "mute"}
    words = ["microclaw.cli", "--json", "up", "--port", "0", "--die-with-parent"]
    with Child("host", words, log=tmp_path / "stderr", environ=environ) as child:
        place = str(child.wait_ready()[0]["http"])
        secret = run_in(home, "token", "create", "laptop").out.splitlines()[0]
        away = {**clean_environ(other), "MICROCLAW_HOST": place, "MICROCLAW_TOKEN": secret}
        command = [sys.executable, "-m", "microclaw.cli", "chat", SENTENCE, "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=away) as chat:
            assert model.asked.wait(TIMEOUT_S)
            chat.send_signal(signal.SIGINT)
            out, _ = chat.communicate(timeout=TIMEOUT_S)
        assert (chat.returncode, json.loads(out)["error"]) == (130, "cancelled")


@pytest.mark.parametrize(("typed", "done"), [("y\n", True), ("\n", False)])
async def test_a_turns_question_is_asked_where_the_person_is(tmp_path: Path, typed: str, done: bool) -> None:
    async with server(*tainted_act()) as provider:

        def talk() -> None:
            home, other = tmp_path / "home", tmp_path / "other"
            other.mkdir(mode=0o700)
            with host_with(provider, home):
                place = json.loads(run_in(home, "--json", "status").out)["http"]
                secret = run_in(home, "token", "create", "laptop").out.splitlines()[0]
                (other / "hosts.toml").write_text(f'"{place}" = "{secret}"\n')
                (other / "hosts.toml").chmod(0o600)
                with Screen(other, "--host", place, "chat", SENTENCE) as screen:
                    screen.wait_for("approve  set pin 4 of virtual-1 high")
                    screen.wait_for("do it? [y/N]")
                    screen.type(typed)
                    screen.wait_for("I am done.")
                    screen.process.wait(TIMEOUT_S)

        await asyncio.to_thread(talk)
    assert ("permission_refused" in str(provider.bodies[2]["messages"][-1])) != done
