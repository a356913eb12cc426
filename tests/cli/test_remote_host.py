"""--host: the command line at an address with a token, against a real host."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import TIMEOUT_S, Ran, clean_environ, run_in
from tests.cli.screen import Screen

TELL = Callable[..., Ran]


@pytest.fixture(scope="module")
def token(host: dict[str, Any]) -> str:
    """The owner's token."""
    made = run_in(Path(host["home"]), "person", "tokens", "--add", "laptop")
    assert made.code == 0, made.err
    return made.out.splitlines()[0]


@pytest.fixture
def elsewhere(tmp_path: Path, host: dict[str, Any], token: str) -> TELL:
    """Run `microclaw WORDS` with an empty home, that host's address and the owner's token."""
    variables = {"MICROCLAW_HOST": host["http"], "MICROCLAW_TOKEN": token}
    return lambda *words: run_in(tmp_path / "elsewhere", *words, environ=variables)


def lines(ran: Ran) -> tuple[str, str]:
    """The error and what to do next."""
    error, step = ran.err.splitlines()
    assert error.startswith("error: "), ran.err
    assert step.startswith("next: "), ran.err
    return error, step


def test_what_the_control_socket_does_is_done_at_an_address(elsewhere: TELL, ask: Any, tmp_path: Path) -> None:
    assert elsewhere("status").code == 0
    assert json.loads(elsewhere("--json", "device", "list").out) == json.loads(ask("--json", "device", "list").out)
    counted = elsewhere("exec", "virtual-1", "gpio.set", "pin=4", "level=1")
    assert (counted.code, "counted" in counted.out) == (0, True), counted.err
    program = tmp_path / "ticker.c"
    program.write_text('#include "microclaw.h"\nvoid on_init(void) { gpio_set(gpio_open(11, GPIO_OUT), 1); }\n')
    assert elsewhere("run", str(program), "-d", "virtual-1").code == 0
    assert "ticker" in elsewhere("app", "list").out
    assert elsewhere("app", "uninstall", "ticker", "-d", "virtual-1").code == 0
    assert "ticker" in elsewhere("app", "changes").out
    assert elsewhere("schedule", "add", "every day at 7", "set pin 4 on").code == 0
    assert "set pin 4 on" in elsewhere("schedule", "list").out
    assert elsewhere("memory", "show").code == 0
    assert "laptop" in elsewhere("person", "tokens").out
    assert elsewhere("doctor").code == ask("doctor").code


def test_the_option_stands_anywhere_and_local_is_this_machine(host: dict[str, Any], token: str, tmp_path: Path) -> None:
    away = {"MICROCLAW_HOST": "http://127.0.0.1:9", "MICROCLAW_TOKEN": token}
    assert run_in(tmp_path, "device", "list", "--host", host["http"], environ=away).code == 0
    assert run_in(tmp_path, "device", "list", f"--host={host['http']}", environ=away).code == 0
    here = run_in(Path(host["home"]), "device", "list", "--host", "local", environ=away)
    assert (here.code, "virtual-1" in here.out) == (0, True)
    none = run_in(tmp_path, "device", "list", "--host", "local", environ=away)
    assert none.code == 3


def test_risky_is_asked_at_the_terminal(host: dict[str, Any], token: str, ask: Any, tmp_path: Path) -> None:
    assert ask("device", "add", "shelf", "--board", "virtual", "--wasmachine", "127.0.0.1:9").code == 0
    (tmp_path / "hosts.toml").write_text(f'"{host["http"]}" = "{token}"\n')
    (tmp_path / "hosts.toml").chmod(0o600)
    tmp_path.chmod(0o700)
    words = ("--host", host["http"], "device", "remove", "shelf")
    for typed, told, code, stays in (
        ("\n", "declined by", 1, True),
        (None, "declined by", 1, True),
        ("y\n", "shelf is forgotten", 0, False),
    ):
        with Screen(tmp_path, *words) as screen:
            screen.wait_for("approve  forget the device shelf")
            screen.wait_for("do it? [y/N]")
            if typed is None:
                screen.process.send_signal(signal.SIGINT)
            else:
                screen.type(typed)
            screen.wait_for(told)
            assert screen.process.wait(TIMEOUT_S) == code
        assert ("shelf" in ask("device", "list").out) == stays
    assert "nothing waits" in ask("approval", "list").out


def test_yes_is_said_to_the_own_question_alone(elsewhere: TELL, host: dict[str, Any], token: str, ask: Any) -> None:
    for number, name in enumerate(("left", "right")):
        where = ("--board", "virtual", "--wasmachine", f"127.0.0.1:{number + 10}")
        assert ask("device", "add", name, *where).code == 0
    environ = {**clean_environ(Path(host["home"])), "MICROCLAW_HOST": host["http"], "MICROCLAW_TOKEN": token}
    waiting = subprocess.Popen(
        [sys.executable, "-m", "microclaw", "device", "remove", "left"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        text=True,
    )
    with waiting:
        assert waiting.stdout is not None
        told = waiting.stdout.readline() + waiting.stdout.readline()
        assert "forget the device left" in told
        assert elsewhere("--yes", "device", "remove", "right").code == 0
        assert waiting.poll() is None
        number = json.loads(elsewhere("--json", "approval", "list").out)["approvals"][0]["approval_id"]
        assert number in told
        assert elsewhere("approval", "decide", number, "no").code == 0
        assert waiting.wait(TIMEOUT_S) == 1
    listed = ask("device", "list").out
    assert ("left" in listed, "right" in listed) == (True, False)
    assert elsewhere("--yes", "device", "remove", "left").code == 0


def test_ctrl_c_takes_the_question_back(host: dict[str, Any], token: str, ask: Any, tmp_path: Path) -> None:
    environ = {**clean_environ(tmp_path), "MICROCLAW_HOST": host["http"], "MICROCLAW_TOKEN": token}
    command = [sys.executable, "-m", "microclaw", "device", "remove", "virtual-1"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environ) as waiting:
        assert waiting.stdout is not None
        assert "forget the device virtual-1" in waiting.stdout.readline()
        assert "microclaw approval decide" in waiting.stdout.readline()
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(TIMEOUT_S) == 130
    assert "nothing waits" in ask("approval", "list").out
    assert "virtual-1" in ask("device", "list").out


@pytest.mark.parametrize("command", ["up", "up --service status", "config get", "mcp", "person log"])
def test_a_command_about_this_machine_says_so(elsewhere: TELL, command: str) -> None:
    ran = elsewhere(*command.split())
    _, step = lines(ran)
    assert (ran.code, ran.out) == (1, "")
    assert "--host local" in step


def test_a_boards_own_address_is_not_called_through_another_host(elsewhere: TELL) -> None:
    assert elsewhere("exec", "127.0.0.1:9", "gpio.set", "4", "1").code == 1


def test_a_wrong_token_a_missing_one_and_a_host_that_is_away(host: dict[str, Any], tmp_path: Path) -> None:
    def at(place: str, *, secret: str = "mc_" + "w" * 43) -> Ran:
        return run_in(tmp_path / "home", "status", environ={"MICROCLAW_HOST": place, "MICROCLAW_TOKEN": secret})

    wrong = at(host["http"])
    assert (wrong.code, "www" in wrong.err + wrong.out) == (1, False)
    assert at(host["http"], secret="").code == 1
    assert at("http://127.0.0.1:9").code == 3
    assert at(host["http"].replace("http:", "https:")).code == 3  # no TLS there
    assert at("https://no-such-machine.invalid").code == 3
    assert at("http://house.example").code == 1  # no token over what others can read
    document = json.loads(run_in(tmp_path, "--json", "status", environ={"MICROCLAW_HOST": "x"}).out)
    assert document["error"]["code"] == "config_error"


def test_the_token_is_never_an_option(tmp_path: Path) -> None:
    assert "mc_" not in run_in(tmp_path, "--help").out
    ran = run_in(tmp_path, "--token", "mc_x", "status")
    assert ran.code == 2
