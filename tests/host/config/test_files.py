"""config.toml, secrets.toml and the environment: what they become, which wins, what is wrong, how they are changed."""

from __future__ import annotations

import os
import random
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from microclaw.errors import ConfigError
from microclaw.host.audit.log_files import read_events
from microclaw.host.config import settings as declared
from microclaw.host.config.edit import write_changes
from microclaw.host.config.load import find_mistakes, load_settings
from microclaw.host.config.settings import (
    AgentSettings,
    McpServerSettings,
    ModelChoice,
    SearchSettings,
    TelegramSettings,
)
from microclaw.host.config.show import read_views

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
        "MICROCLAW_PROXY__URL": "http://10.0.0.1:80",
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
    names = ("MICROCLAW_AGENT__QUEUES", "MICROCLAW_AGENT__TURN_S", "MICROCLAW_PROXY__URL", "OPENAI_BASE_URL")
    assert [m.place for m in find_mistakes(dict.fromkeys(names, "socks5://x:1"), home)] == list(names)


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


COMMENTED = "# mine\n[agent]  # how turns go\nqueue = 4   # few\n# the end\n"


def put(home: Path, key: str, value: str | None, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    return tuple(write_changes(home, environ or {}, {key: value})[0])


def test_change_keeps_every_comment(home: Path) -> None:
    (home / "config.toml").write_text(COMMENTED)
    assert put(home, "agent.queue", "6") == ("config.toml",)
    assert put(home, "agent.turn_s", "30.5") == ("config.toml",)
    text = (home / "config.toml").read_text()
    assert "# mine\n[agent]  # how turns go\nqueue = 6   # few\n" in text
    assert "# the end" in text
    assert "turn_s = 30.5" in text


def test_files_are_private_and_a_change_is_in_the_security_log_without_its_value(home: Path) -> None:
    put(home, "telegram.token", "1:abc")
    put(home, "agent.queue", "6")
    assert {stat.S_IMODE((home / name).stat().st_mode) for name in ("config.toml", "secrets.toml")} == {0o600}
    assert put(home, "agent.queue", None) == ("config.toml",)
    assert put(home, "agent.queue", None) == ()
    assert [(item.value, item.origin) for item in read_views(home, {}) if item.key == "agent.queue"] == [(8, "default")]
    lines = [(found.event.about, found.event.text) for found in read_events(home, kinds={"config"})]
    assert lines == [("telegram.token", "set"), ("agent.queue", "set"), ("agent.queue", "set back to its default")]
    assert b"1:abc" not in (home / "audit" / "acts.jsonl").read_bytes()


def test_nothing_is_changed_while_the_security_log_cannot_be_written(home: Path) -> None:
    (home / "audit").mkdir(mode=0o755)
    with pytest.raises(ConfigError):
        put(home, "agent.queue", "6")
    assert not (home / "config.toml").exists()


def test_rows_of_a_file_are_changed_by_their_numbers(home: Path) -> None:
    (home / "config.toml").write_text('[[model.fallback]]\nprovider = "openai"\nname = "a"\n')
    (home / "secrets.toml").write_text('[[model.fallback]]\napi_key = "sk-one"\n')
    (home / "secrets.toml").chmod(0o600)
    put(home, "model.fallback.2.provider", "openai")
    put(home, "model.fallback.2.api_key", "sk-two")
    put(home, "model.fallback.1.name", "b")
    assert put(home, "model.fallback.1.api_key", None) == ("secrets.toml",)
    for name in ("second", "0", "4"):
        with pytest.raises(ConfigError):
            put(home, f"model.fallback.{name}.provider", "openai")
    shown = {item.key.removeprefix("model.fallback."): item.origin for item in read_views(home, {})}
    assert [shown[key] for key in ("1.name", "1.api_key", "2.provider")] == ["config.toml:3", "", "config.toml:5"]
    assert [choice.api_key for choice in load_settings({}, home=home).model.fallbacks] == ["sk-two"]  # no key: not used


@pytest.mark.parametrize("provider", [None, "anthropic"])
def test_a_providers_own_variables_are_shown_where_they_count(home: Path, provider: str | None) -> None:
    if provider is not None:
        put(home, "model.provider", provider)
    environ = {"ANTHROPIC_API_KEY": "sk-ant-0123456789-0123", "ANTHROPIC_BASE_URL": "http://localhost:1/"}
    shown = {item.key: (item.value, item.origin) for item in read_views(home, environ)}
    assert shown["model.api_key"] == ("sk-ant-...(22 characters)", "ANTHROPIC_API_KEY")
    assert shown["model.base_url"] == ("http://localhost:1/", "ANTHROPIC_BASE_URL")
    put(home, "model.provider", "openai")
    shown = {item.key: (item.value, item.origin) for item in read_views(home, environ)}
    assert shown["model.api_key"] == (None, "")


def test_changes_at_the_same_time_are_all_kept(home: Path) -> None:
    """Two terminals, or a setup and a script: neither undoes the other's."""
    wanted = {"agent.turn_s": "61", "agent.queue": "5", "budget.day_usd": "3", "telegram.token": "12:secret"}
    with ThreadPoolExecutor(len(wanted)) as threads:
        list(threads.map(lambda change: put(home, *change), wanted.items(), timeout=60))
    found = {item.key for item in read_views(home, {}) if item.origin.startswith(("config", "secrets"))}
    assert found == wanted.keys()


WRONG = {
    "agent.queue": ["0"], "agent.queues": ["1"], "agent..x": ["1"], "model.api_key": ["k"],
    "model.fallback.name": ["x"],
    "mcp.servers..url": ["http://x"], "cluster.host": ["-"], "voice.asr": ["whisper whisper", "whispr"],
    "cluster.database": ["postgresql://h", "postgresql://u:word@h/d"], "voice.whisper_model": ["tiny"],
    "host.http_names": ["*.lan", "claw.lan:8080"],
}  # fmt: skip


def test_wrong_change_is_not_written_and_a_file_that_cannot_be_read_is_left_as_it_is(home: Path) -> None:
    before = list(home.iterdir())
    for key, value in ((key, value) for key, values in WRONG.items() for value in values):
        with pytest.raises(ConfigError):  # nor is another one beside it
            write_changes(home, {}, {"agent.iterations": "9", "telegram.token": "1:a", key: value})
        assert list(home.iterdir()) == before, (key, value)
    for text in ("[agent\n", "# x\n" * 200_000):
        (home / "config.toml").write_text(text)
        with pytest.raises(ConfigError):
            put(home, "agent.queue", "5")
        assert (home / "config.toml").read_text() == text


def test_secrets_are_in_their_own_file_in_every_form_and_never_shown(home: Path) -> None:
    assert put(home, "telegram.token", "1:abc") == ("secrets.toml",)
    assert put(home, "telegram.token", "${BOT}", {"BOT": "x"}) == ("secrets.toml", "config.toml")
    assert "1:abc" not in (home / "secrets.toml").read_text()
    assert '"${BOT}"' in (home / "config.toml").read_text()
    put(home, "telegram.token", "2:def")
    assert "token" not in (home / "config.toml").read_text()
    put(home, "mcp.servers.git.command", "uvx git-mcp")
    assert put(home, "mcp.servers.git.env", '{ TOKEN = "sk-0123456789-0123456789", B = "2" }') == ("secrets.toml",)
    put(home, "secrets.values.weather", "SuperSecretValue0123456789")
    put(home, "proxy.url", "http://me:hunter2@10.0.0.1:3128")
    shown = {item.key: item.value for item in read_views(home, {})}
    assert shown["mcp.servers.git.env"] == {"TOKEN": "sk-0123...(24 characters)", "B": "...(short)"}
    assert (shown["secrets.values"], shown["proxy.url"]) == ({"weather": "(set)"}, "http://...@10.0.0.1:3128")
    assert load_settings({}, home=home).proxy == "http://me:hunter2@10.0.0.1:3128"
    with pytest.raises(ConfigError) as refused:
        put(home, "model.base_url", "htp://me:hunter2@10.0.0.1")
    assert "hunter2" not in refused.value.message
    assert put(home, "mcp.servers.git.env", None) == ("secrets.toml",)
    assert load_settings({}, home=home).mcp_servers[0].env == {}
