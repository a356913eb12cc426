"""Changes of config.toml: comments stay, secrets go where nobody else reads, nothing wrong is written."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from microclaw.audit.log_files import read_events
from microclaw.config.edit import write_changes
from microclaw.config.load import load_settings
from microclaw.config.show import read_views
from microclaw.errors import ConfigError

COMMENTED = "# mine\n[agent]  # how turns go\nqueue = 4   # few\n# the end\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


def put(home: Path, key: str, value: str | None, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    return write_changes(home, environ or {}, {key: value}).files


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
        list(threads.map(lambda change: put(home, *change), wanted.items(), timeout=30))
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
