"""config.toml, secrets.toml and the environment: what they become, which one wins, and what is found wrong."""

from __future__ import annotations

import os
import random
from contextlib import nullcontext
from pathlib import Path

import pytest

from microclaw.config import settings as declared
from microclaw.config.load import find_mistakes, load_settings
from microclaw.config.settings import (
    AgentSettings,
    McpServerSettings,
    ModelChoice,
    SearchSettings,
    TelegramSettings,
)
from microclaw.errors import ConfigError

EVERYTHING = """
[host]
http_port = 9090
link = "192.168.1.7:8443"
[model]
provider = "openai"
name = "main-model"
api_key = "${MAIN_KEY}"
base_url = "https://models.example/v1"
offline_first = false
[model.fallback.large]
provider = "anthropic"
name = "second"
[model.tasks.summary]
name = "small"
[agent]
approvals = "always"
turn_s = 60
timezone = "Europe/Berlin"
[telegram]
token = "${BOT}"
[search]
api_key = "b"
base_url = "http://localhost:8888"
[mcp.servers.files]
command = ["files", "--root", "."]
env = { TOKEN = "${FILES_TOKEN}" }
[proxy]
url = "http://proxy.example:3128"
"""
ENVIRON = {"MAIN_KEY": "sk-main", "ANTHROPIC_API_KEY": "sk-ant", "BOT": "1:abc", "FILES_TOKEN": "f"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


def write(home: Path, text: str, *, secrets: str | None = None) -> None:
    (home / "config.toml").write_text(text)
    (home / "config.toml").chmod(0o600)
    if secrets is not None:
        (home / "secrets.toml").write_text(secrets)
        (home / "secrets.toml").chmod(0o600)


def said(home: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    write(home, text)
    return [str(mistake) for mistake in find_mistakes(environ or {}, home)]


def test_every_section_becomes_settings(home: Path) -> None:
    write(home, EVERYTHING)
    settings = load_settings(ENVIRON, home=home)
    assert settings.host == declared.HostSettings(http_port=9090, link="192.168.1.7:8443")
    # The provider is stated: the other one's key chooses nothing.
    assert settings.model.main == ModelChoice("openai", "main-model", "sk-main", "https://models.example/v1")
    assert settings.model.fallbacks == (ModelChoice("anthropic", "second", "sk-ant"),)
    assert settings.model.tasks == {"summary": ModelChoice("openai", "small", "sk-main", "https://models.example/v1")}
    assert not settings.model.offline_first
    assert settings.agent == AgentSettings(approvals="always", turn_s=60.0, timezone="Europe/Berlin")
    assert settings.telegram == TelegramSettings("1:abc")
    assert settings.search == SearchSettings("b", "http://localhost:8888")
    assert settings.mcp_servers == (McpServerSettings("files", ("files", "--root", "."), env={"TOKEN": "f"}),)
    assert settings.proxy == "http://proxy.example:3128"
    assert settings.problems == ()


def test_environment_is_stronger_than_the_files(home: Path) -> None:
    write(home, EVERYTHING)
    environ = {
        **ENVIRON,
        "MICROCLAW_AGENT__TURN_S": "30",
        "MICROCLAW_MODEL": "other",
        "MICROCLAW_MODEL__OFFLINE_FIRST": "true",
        "MICROCLAW_MCP__SERVERS__FILES__COMMAND": "files --root '/a b'",
        "MICROCLAW_HOST__LINK": "off",
        "TELEGRAM_BOT_TOKEN": "2:${BOT}",
        "HTTPS_PROXY": "http://10.0.0.1:80",
    }
    settings = load_settings(environ, home=home)
    assert settings.agent.turn_s == 30.0
    assert settings.model.main is not None
    assert settings.model.main.name == "other"
    assert settings.model.offline_first
    assert settings.mcp_servers[0].command == ("files", "--root", "/a b")
    assert settings.host.link == "off"
    assert settings.telegram == TelegramSettings("2:${BOT}")  # a variable's text refers to no other variable
    assert settings.proxy == "http://10.0.0.1:80"


def test_a_fallback_takes_its_key_from_secrets_and_another_comes_by_variables(home: Path) -> None:
    write(home, EVERYTHING, secrets='[model.fallback.large]\napi_key = "sk-second"\n')
    rows = load_settings(ENVIRON, home=home).model.fallbacks
    assert rows == (ModelChoice("anthropic", "second", "sk-ant"),)  # the variable is stronger than its own key
    environ = {**ENVIRON, "MICROCLAW_MODEL__FALLBACK__X": '{provider = "openai", name = "x", api_key = "k"}'}
    found = load_settings(environ, home=home).model.fallbacks
    assert found == (*rows, ModelChoice("openai", "x", "k", "https://models.example/v1"))


def test_missing_credential_switches_its_part_off_with_one_line(home: Path) -> None:
    write(
        home,
        '[telegram]\ntoken = "${BOT}"\n[search]\n[model]\nprovider = "anthropic"\n'
        '[model.fallback.x]\nprovider = "openai"\n[mcp.servers.git]\n'
        'command = ["git-mcp"]\nenv = { KEY = "${GIT_KEY}" }\n',
    )
    settings = load_settings({}, home=home)
    assert len(settings.problems) == 5
    assert (settings.telegram, settings.search, settings.mcp_servers) == (None, None, ())
    assert settings.model.main is None


def test_key_of_the_environment_never_goes_to_an_address_of_the_file(home: Path) -> None:
    write(home, '[model]\nprovider = "openai"\nbase_url = "http://elsewhere.example/v1"\n')
    settings = load_settings({"OPENAI_API_KEY": "sk-mine"}, home=home)
    assert settings.model.main == ModelChoice("openai", None, None, "http://elsewhere.example/v1")


def test_secrets_file_is_read_and_only_when_nobody_else_can(home: Path) -> None:
    write(home, "[telegram]\n", secrets='[telegram]\ntoken = "1:abc"\n')
    assert load_settings({}, home=home).telegram == TelegramSettings("1:abc")
    (home / "secrets.toml").chmod(0o640)
    with pytest.raises(ConfigError) as caught:
        load_settings({}, home=home)
    assert caught.value.next_step == f"chmod 600 {home / 'secrets.toml'}"


def test_secret_in_a_config_file_that_others_can_read_is_refused(home: Path) -> None:
    for token, mistakes in (("1:abc", 1), ("${BOT}", 0)):
        write(home, f'[telegram]\ntoken = "{token}"\n')
        (home / "config.toml").chmod(0o644)
        assert len(find_mistakes({"BOT": "1:abc"}, home)) == mistakes


def test_secret_in_both_files_and_other_keys_in_the_secrets_file_are_refused(home: Path) -> None:
    write(home, '[telegram]\ntoken = "1:a"\n', secrets='[telegram]\ntoken = "1:b"\nbase_url = "https://a.example"\n')
    assert [(m.place, m.line) for m in find_mistakes({}, home)] == [("config.toml", 2), ("secrets.toml", 3)]


def test_every_mistake_is_named_with_its_line_at_once(home: Path) -> None:
    text = """\
[agent]
turns = 3
queue = 0
turn_s = "long"
approvals = "ever"

[agnet]
x = 1
[host]
link = "nowhere"
[telegram]
token = "${NOT_SET}"
[mcp.servers.x]
env = { A = 1 }
command = [
  "x",
  3,
]

[model.fallback.a]
provider = "anthropic"

[model.fallback.b]
provider='x'
"""
    lines = [line.split(":")[1] for line in said(home, text)]
    assert lines == ["2", "3", "4", "5", "7", "10", "12", "14", "15", "24"]
    for wrong in ("http_port = 80a0", "[agent]", "x = 1\nx = 2"):
        (line,) = said(home, f"{text}{wrong}\n")
        assert line.startswith(f"config.toml:{25 + wrong.count(chr(10))}: ")


MISTAKES = (
    "[agent", "agent = 'VERYSECRET'", "[agent.queue]\nx = 1", "budget.day_usd = nan", "agent.timezone = 'Mars/Base'",
    "proxy.url = 'socks5://a:1'", "telegram.base_url = '${}'", 'telegram.token = "12345:VERY\\u0007SECRET"',
    "model.api_key = 'k'", "[mcp.servers.'a b']\nurl = 'http://x'", "voice.asr = ['whisper', 'sphinx']",
    "host.http_host = '0.0.0.0'", "[host]\nhttp_host = '0.0.0.0'\nhttp_tls = 'files'\nhttp_cert = '/c.pem'",
    "[model.tasks.sing]\nname = 'x'",
)  # fmt: skip


def test_mistake_is_named_and_no_secret_of_it(home: Path) -> None:
    for text in MISTAKES:
        (found,) = said(home, f"{text}\n")
        assert "VERY" not in found
        with pytest.raises(ConfigError):
            load_settings({}, home=home)


def test_wrong_variable_is_named(home: Path) -> None:
    names = ("HTTPS_PROXY", "MICROCLAW_AGENT__QUEUES", "MICROCLAW_AGENT__TURN_S", "OPENAI_BASE_URL")
    assert [m.place for m in find_mistakes(dict.fromkeys(names, "socks5://x:1"), home)] == list(names)
    settings = load_settings({"HTTPS_PROXY": "socks5://x:1"}, home=home)  # it is the machine's: no refusal
    assert settings.proxy is None
    assert settings.problems


def test_damaged_file_never_raises_anything_but_its_mistakes(home: Path) -> None:
    rng = random.Random(5)
    for _ in range(100):
        data = bytearray(EVERYTHING.encode())
        for _ in range(rng.randrange(1, 6)):
            place = rng.randrange(len(data))
            data[place : place + rng.randrange(3)] = rng.choice([b"[", b"]", b'"', b"=", b"\n", b"{", b"\xff", b"${"])
        (home / "config.toml").write_bytes(data)
        (home / "config.toml").chmod(0o600)
        is_wrong = any(mistake.fatal for mistake in find_mistakes(ENVIRON, home))
        with pytest.raises(ConfigError) if is_wrong else nullcontext():
            load_settings(ENVIRON, home=home)


ENDLESS = ["[" * 4_000, "{a=" * 2_000, "9" * 5_000, "1" + "0" * 400, "0x" + "f" * 6_000, "-0x" + "f" * 6_000]


def test_nesting_and_numbers_without_end_are_mistakes_and_no_crash(home: Path) -> None:
    for text in (
        *(f"agent.queue = {end}" for end in ENDLESS),
        "a." * 2_000 + "a = 1",
        "[" + "a." * 2_000 + "a]\nb = 1",
    ):
        (found,) = said(home, f"{text}\n")
        assert len(found) < 300
    (home / "config.toml").write_bytes(b"\xff\xfe")
    for end in ENDLESS:
        variables = {f"MICROCLAW_{key}": end for key in ("AGENT__QUEUE", "AGENT__TURN_S", "MCP__SERVERS__A__URL")}
        assert [m.place for m in find_mistakes(variables, home)] == ["config.toml", *variables], end[:9]


def test_a_pipe_in_the_files_place_is_refused_and_not_waited_for(home: Path) -> None:
    os.mkfifo(home / "config.toml")
    assert [m.place for m in find_mistakes({}, home)] == ["config.toml"]
