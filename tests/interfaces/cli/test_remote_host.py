"""--host: the command line at an address with a token, against a real host and against what else may be there."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.forked import Forked
from tests.interfaces.cli.conftest import TIMEOUT_S, Ran, Run, clean_environ, run_here
from tests.interfaces.cli.screen import Screen


@pytest.fixture(scope="module")
def token(host: dict[str, Any]) -> Iterator[str]:
    """The owner's token."""
    made = run_here(Path(host["home"]), "person", "tokens", "--add", "laptop")
    assert made.code == 0, made.err
    yield made.out.splitlines()[0]
    assert run_here(Path(host["home"]), "person", "tokens", "--rm", "laptop", "-y").code == 0


@pytest.fixture
def away(host: dict[str, Any], token: str) -> dict[str, str]:
    """The variables that name that host and the owner's token."""
    return {"MICROCLAW_HOST": host["http"], "MICROCLAW_TOKEN": token}


@pytest.fixture
def elsewhere(tmp_path: Path, away: dict[str, str]) -> Run:
    """Run `microclaw WORDS` with an empty home, that host's address and the owner's token."""
    return lambda *words: run_here(tmp_path / "elsewhere", *words, environ=away)


def test_what_the_control_socket_does_is_done_at_an_address(elsewhere: Run, ask: Run, tmp_path: Path) -> None:
    assert elsewhere("--json", "device", "list").json == ask("--json", "device", "list").json
    counted = elsewhere("exec", "virtual-1", "gpio.set", "pin=4", "level=1")
    assert (counted.code, "counted" in counted.out) == (0, True), counted.err
    program = tmp_path / "ticker.c"
    program.write_text('#include "microclaw.h"\nvoid on_init(void) { gpio_set(gpio_open(11, GPIO_OUT), 1); }\n')
    assert elsewhere("run", program, "-d", "virtual-1").code == 0
    assert "ticker" in elsewhere("app", "list").out
    assert elsewhere("app", "uninstall", "ticker", "-d", "virtual-1").code == 0
    assert "ticker" in elsewhere("app", "changes").out
    for words in ("status", "memory show", "schedule list"):
        assert elsewhere(*words.split()).code == 0
    assert "laptop" in elsewhere("person", "tokens").out
    assert elsewhere("doctor").code == ask("doctor").code
    assert elsewhere("exec", "127.0.0.1:9", "gpio.set", "4", "1").code == 1  # not through another host


def test_the_option_stands_anywhere_and_local_is_this_machine(
    host: dict[str, Any], away: dict[str, str], tmp_path: Path
) -> None:
    nowhere = {**away, "MICROCLAW_HOST": "http://127.0.0.1:9"}
    for words in (["--host", host["http"]], [f"--host={host['http']}"]):
        assert run_here(tmp_path, "device", "list", *words, environ=nowhere).code == 0
    here = run_here(Path(host["home"]), "device", "list", "--host", "local", environ=nowhere)
    assert (here.code, "virtual-1" in here.out) == (0, True)
    assert run_here(tmp_path, "device", "list", "--host", "local", environ=nowhere).code == 3


def test_risky_is_asked_at_the_terminal(host: dict[str, Any], token: str, ask: Run, tmp_path: Path) -> None:
    assert ask("device", "add", "shelf", "--board", "virtual", "--wasmachine", "127.0.0.1:9").code == 0
    (tmp_path / "hosts.toml").write_text(f'"{host["http"]}" = "{token}"\n')
    (tmp_path / "hosts.toml").chmod(0o600)
    tmp_path.chmod(0o700)
    for typed, told, code in (("\n", "declined by", 1), ("", "declined by", 1), ("y\n", "shelf is forgotten", 0)):
        with Screen(tmp_path, "--host", host["http"], "device", "remove", "shelf") as screen:
            screen.wait_for("approve  forget the device shelf")
            screen.wait_for("do it? [y/N]")
            if typed:
                screen.type(typed)
            else:
                screen.process.send_signal(signal.SIGINT)
            screen.wait_for(told)
            assert screen.process.wait(TIMEOUT_S) == code
        assert ("shelf" in ask("device", "list").out) == (code == 1)
    assert "nothing waits" in ask("approval", "list").out


@contextmanager
def waiting(away: dict[str, str], home: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`microclaw WORDS` whose act waits for a yes."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with Forked(("microclaw", *words), env={**clean_environ(home), **away}, text=True, **streams) as process:
        yield process


def test_yes_is_said_to_the_own_question_alone_and_ctrl_c_takes_it_back(
    elsewhere: Run, away: dict[str, str], ask: Run, tmp_path: Path
) -> None:
    for number, name in enumerate(("left", "right")):
        assert ask("device", "add", name, "--board", "virtual", "--wasmachine", f"127.0.0.1:{number + 10}").code == 0
    for act in ("no", "Ctrl-C"):
        with waiting(away, tmp_path, "device", "remove", "left") as process:
            assert process.stdout is not None
            told = process.stdout.readline() + process.stdout.readline()
            assert "forget the device left" in told
            if act == "no":
                assert elsewhere("--yes", "device", "remove", "right").code == 0
                assert process.poll() is None
                number = elsewhere("--json", "approval", "list").json["approvals"][0]["approval_id"]
                assert number in told
                assert elsewhere("approval", "decide", number, "no").code == 0
            else:
                process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT_S) == (1 if act == "no" else 130)
        assert "nothing waits" in ask("approval", "list").out
        listed = ask("device", "list").out
        assert ("left" in listed, "right" in listed) == (True, False)
    assert elsewhere("--yes", "device", "remove", "left").code == 0


def lines(ran: Ran) -> list[str]:
    """The error and what to do next."""
    told = ran.err.splitlines()
    assert [one.partition(" ")[0] for one in told] == ["error:", "next:"], ran.err
    return told


def test_a_command_about_this_machine_says_so(elsewhere: Run) -> None:
    for command in ("up", "up --service file", "config get", "mcp", "person log"):
        ran = elsewhere(*command.split())
        assert (ran.code, ran.out, "--host local" in lines(ran)[1]) == (1, "", True), command
    token = elsewhere("--token", "mc_x", "status")
    assert (token.code, "mc_" in elsewhere("--help").out) == (2, False)  # it is never an option


def at(home: Path, place: str, secret: str = "mc_" + "w" * 43) -> Ran:
    ran = run_here(home, "--json", "status", environ={"MICROCLAW_HOST": place, "MICROCLAW_TOKEN": secret})
    assert secret not in ran.out + ran.err or not secret
    return ran


def test_a_wrong_token_a_missing_one_and_a_host_that_is_away(host: dict[str, Any], tmp_path: Path) -> None:
    http = str(host["http"])
    assert at(tmp_path, http).code == 1
    assert at(tmp_path, http, "").code == 1
    assert at(tmp_path, "http://127.0.0.1:9").code == 3
    assert at(tmp_path, http.replace("http:", "https:")).code == 3  # no TLS there
    assert at(tmp_path, "https://no-such-machine.invalid").code == 3
    assert at(tmp_path, "http://house.example").code == 1  # no token over what others can read
    assert at(tmp_path, "x").json["error"]["code"] == "config_error"


Answer = Callable[[], tuple[int, dict[str, str], bytes]]


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """Some server's address, and the paths and tokens that it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Authorization')}")
            status, headers, body = answer()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests look at `asked`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def test_a_redirection_is_not_followed_and_the_token_stays(tmp_path: Path) -> None:
    with (
        answering(lambda: (200, {}, b"{}")) as (other, asked_other),
        answering(lambda: (302, {"Location": f"{other}/v1/status"}, b"")) as (first, asked),
    ):
        assert at(tmp_path, first, "mc_s").code == 1
    assert (asked, asked_other) == (["/v1/status Bearer mc_s"], [])


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [(502, b"<html>Bad Gateway", 3), (404, b"<html>Not Found", 1), (200, b"<html>Welcome", 1)],
)
def test_what_is_no_host_is_told_from_a_host_that_is_away(tmp_path: Path, status: int, body: bytes, code: int) -> None:
    with answering(lambda: (status, {}, body)) as (peer, _):
        ran = at(tmp_path, peer)
    assert (ran.code, len(lines(ran))) == (code, 2), ran.err


def test_a_proxy_that_lets_nobody_in_and_a_host_of_another_version_are_named(tmp_path: Path) -> None:
    unknown = b'{"error": {"code": "not_found", "message": "no such route"}}'
    replies: list[tuple[int, dict[str, str], bytes]] = [(403, {}, b"<html>"), (404, {}, unknown)]
    replies.append((200, {}, b'{"version": "0.0.1"}'))
    with answering(lambda: replies.pop(0)) as (peer, _):
        assert "refuses the request (403)" in at(tmp_path, peer).err
        assert "runs microclaw 0.0.1" in at(tmp_path, peer).err


def test_a_proxy_that_keeps_its_own_name_is_told_which_setting_lets_it_in(host: dict[str, Any], tmp_path: Path) -> None:
    place = urlsplit(host["http"])
    with closing(HTTPConnection(str(place.hostname), place.port, timeout=TIMEOUT_S)) as connection:
        connection.request("GET", "/v1/status", headers={"Host": "house.example"})
        answer = connection.getresponse()  # what the host itself says behind such a proxy
        refusal: tuple[int, dict[str, str], bytes] = (answer.status, {}, answer.read())
    assert refusal[0] == 403
    with answering(lambda: refusal) as (proxy, _):
        assert "host.http_names" in lines(at(tmp_path, proxy))[1]
