"""`microclaw setup`: its questions, the tests of keys against servers with the services' formats, what is written."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click import Abort
from click.testing import CliRunner
from tests.agent.models.model_server import anthropic_reply, openai_reply
from tests.interfaces.cli.screen import Screen

from microclaw.host.config.edit import write_changes
from microclaw.host.config.load import load_settings
from microclaw.host.config.settings import ModelChoice
from microclaw.interfaces.cli import setup_commands
from microclaw.interfaces.cli.main import main
from microclaw.interfaces.cli.options import GlobalOptions
from microclaw.interfaces.cli.setup_commands import ask_all

ANTHROPIC_KEY = "sk-ant-api03-0123456789abcdef"
TELEGRAM_TOKEN = "123456:AAabcdefghijklmnopqrstuvwxyz"
BRAVE_KEY = "BSAabcdefghijklmnopqrstuvwxyz"
GOOGLE_KEY = "AIza0123456789abcdef"
TIMEOUT_S = 30.0


class Services(BaseHTTPRequestHandler):
    """Anthropic's and OpenAI's lists of models, Telegram's getMe, Brave's search; each knows one key."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/anthropic/v1/models":
            told = self.headers["x-api-key"]
            error = {"type": "error", "error": {"type": "authentication_error", "message": f"{'x' * 110} {told}"}}
            models = {"data": [{"id": "claude-x", "type": "model"}]}
            self._reply(*((200, models) if told == ANTHROPIC_KEY else (401, error)))
        elif path == "/google/v1beta/models":
            models = {"models": [{"name": "models/gemini-x"}]}
            self._reply(*((200, models) if self.headers["x-goog-api-key"] == GOOGLE_KEY else (400, {})))
        elif path == "/v1/models":
            self._reply(200, {"object": "list", "data": [{"id": "llama3", "object": "model"}, {"id": 7}]})
        elif self.headers["X-Subscription-Token"] == BRAVE_KEY:
            result = {"title": "ESP32", "url": "https://a.example", "description": "a chip"}
            self._reply(200, {"web": {"results": [result]}})
        elif path == f"/telegram/bot{TELEGRAM_TOKEN}/getMe":
            bot = {"id": 1, "is_bot": True, "first_name": "C", "username": "claw_bot"}
            self._reply(200, {"ok": True, "result": bot})
        else:
            self._reply(404, {})

    def do_POST(self) -> None:
        """Models by their names: how many calls they make at once, and whether they answer after those."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["model"]
        results = str(asked["messages"]).count("tool_result" if "anthropic" in self.path else "'tool'")
        if name == "broken":
            self._reply(400, {"error": {"message": "broken does not support tools"}})
        elif "anthropic" in self.path:
            use = [{"type": "tool_use", "id": f"t{pin}", "name": "gpio-set", "input": {"pin": pin}} for pin in (4, 5)]
            self._reply(200, anthropic_reply(*([{"type": "text", "text": "Done."}] if results else use)))
        elif name == "talks" or (results == 2 and name != "silent"):
            self._reply(200, openai_reply('{"name": "gpio-set"}' if name == "talks" else "Done."))
        else:
            count = 2 if name == "llama3" else 1
            self._reply(200, openai_reply(calls=[("gpio-set", '{"pin":4,"level":1}')] * count))

    def _reply(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def services() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Services) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="services")
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(TIMEOUT_S)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, services: str) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL", "_BOT_TOKEN")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MICROCLAW_HOME", str(folder))
    monkeypatch.setattr(setup_commands, "LOCAL_MODELS", ("http://127.0.0.1:9/v1",))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{services}/anthropic")
    text = f'[telegram]\nenabled = true\nbase_url = "{services}/telegram"\n[search]\nbase_url = "{services}/brave"\n'
    (folder / "config.toml").write_text(text)
    return folder


def model_of(home: Path) -> ModelChoice | None:
    return load_settings(os.environ, home=home).model.main


def run(home: Path, *answers: str) -> str:
    """The screen's text; Abort where the answers end before the questions, as with Ctrl-C."""
    with CliRunner().isolation("".join(f"{answer}\n" for answer in answers)) as (screen, *_):
        changes = ask_all(GlobalOptions(), home)
        assert sys.stdin.read() == ""
    write_changes(home, os.environ, changes)
    return screen.getvalue().decode()


def files(home: Path) -> list[str]:
    return [path.read_text() for path in (home / "config.toml", home / "secrets.toml") if path.exists()]


ALL_KEYS = ("anthropic", ANTHROPIC_KEY, "my-model", TELEGRAM_TOKEN, BRAVE_KEY)


def test_each_key_is_tested_and_written_and_a_second_run_shows_none_and_keeps_all(home: Path) -> None:
    untouched = files(home)
    run(home, "", "", "")
    assert files(home) == untouched  # every question can be skipped
    assert run(home, *ALL_KEYS).count("\n  it works: ") == 4
    settings = load_settings(os.environ, home=home)
    assert None not in (settings.model.main, settings.telegram, settings.search)
    config, _ = before = files(home)
    screen = run(home, "", "", "")
    for secret in (ANTHROPIC_KEY, TELEGRAM_TOKEN, BRAVE_KEY):
        assert secret not in config + screen
    assert files(home) == before
    run(home, "none", "", "")
    assert (model_of(home), ANTHROPIC_KEY in files(home)[1]) == (None, False)
    (home / "config.toml").write_text("[agent]\nqueue = 0\n")
    assert main(["setup"]) == 1  # before any question


def test_a_refused_key_is_asked_for_again_three_times_and_never_shown(home: Path) -> None:
    said = run(home, "anthropic", "sk-wrong-key-000000", "n", ANTHROPIC_KEY, "", *("bad", "n") * 3, "")
    assert "sk-w" not in said  # the server said the key back
    assert getattr(model_of(home), "api_key", None) == ANTHROPIC_KEY
    assert load_settings(os.environ, home=home).telegram is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("llama3", "it works: llama3 calls tools: yes; two at once: yes; answers after a tool: yes"),
        ("steps", "it works: steps calls tools: yes; two at once: no, one after the other; answers after a tool: yes"),
        ("silent", "it does not work: silent calls tools: yes; two at once: no, one after the other; answers after a"),
        ("talks", "it does not work: talks does not call tools: only questions will work"),
        ("broken", "it does not work: broken: refused the request (400): broken does not support tools"),
    ],
)
def test_what_a_model_can_is_tried_and_told(home: Path, services: str, name: str, words: str) -> None:
    is_kept = () if name in ("llama3", "steps") else ("y",)
    assert words in run(home, "compatible", f"{services}/v1", "", name, *is_kept, "", "")
    assert model_of(home) == ModelChoice("openai", name, None, f"{services}/v1")
    assert words in run(home, "keep", "", "")


def test_a_wrong_address_is_asked_for_again_and_not_written(home: Path, services: str) -> None:
    run(home, "compatible", services, "", "n", f"{services}/v1", "", "llama3", "", "")
    assert model_of(home) == ModelChoice("openai", "llama3", None, f"{services}/v1")


def test_googles_key_is_tested_at_its_own_api(home: Path, services: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_BASE_URL", f"{services}/google")
    said = run(home, "google", "wrong-key-0000000", "n", GOOGLE_KEY, "", "y", "", "")
    assert "gemini-x" in said
    assert model_of(home) == ModelChoice("google", None, GOOGLE_KEY, f"{services}/google")


def test_a_server_of_ones_own_needs_no_key_and_a_running_one_is_offered(
    home: Path, services: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(home, "compatible", "nonsense", f"{services}/v1", "", "llama3", "", "")
    run(home, "none", "", "")
    monkeypatch.setattr(setup_commands, "LOCAL_MODELS", ("http://127.0.0.1:9/v1", f"{services}/v1"))
    monkeypatch.setattr(setup_commands, "LOCAL_PROBE_S", 60.0)
    said = run(home, "", "", "", "talks", "", "", "", "")
    assert f"a model server runs here: {services}/v1" in said
    assert model_of(home) == ModelChoice("openai", None, None, f"{services}/v1")


def test_service_that_does_not_answer_is_no_verdict(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    run(home, "anthropic", ANTHROPIC_KEY, "", "", "", "", "")
    assert getattr(model_of(home), "api_key", None) == ANTHROPIC_KEY


def test_interrupt_at_any_question_leaves_the_files_as_they_were(home: Path) -> None:
    before = files(home)
    for count in range(len(ALL_KEYS)):
        with pytest.raises(Abort):
            run(home, *ALL_KEYS[:count])
        assert files(home) == before


def test_keys_are_not_echoed_on_a_terminal_and_ctrl_c_changes_nothing(home: Path, services: str) -> None:
    before = files(home)
    with Screen(home, "setup", ANTHROPIC_BASE_URL=f"{services}/anthropic") as screen:
        screen.wait_for("Which models answer?")
        screen.type("anthropic\n")
        screen.wait_for("The key (not shown; Enter skips)")
        screen.type_unseen(f"{ANTHROPIC_KEY}\n")
        screen.wait_for("it works")
        screen.wait_for("The model's name")
        assert screen.ended(lambda: screen.process.send_signal(signal.SIGINT)) == 130
    assert ANTHROPIC_KEY not in screen.shown
    assert files(home) == before
