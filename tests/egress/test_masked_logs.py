"""Known secrets stand in no log: neither plain nor encoded, neither in the host's log nor in the security log."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from microclaw.audit.event import AuditEvent, AuditKind
from microclaw.audit.log import AuditLog
from microclaw.cli.hosting import log_to
from microclaw.config.load import load_settings
from microclaw.config.schema import all_settings, dotted
from microclaw.config.settings import Settings
from microclaw.config.show import secret_texts
from microclaw.egress.secret_values import SecretValues
from microclaw.masking import MASK, SecretMask

DECLARED = {
    "model.api_key": "sk-ant-first-1234567890",
    "model.fallback.NAME.api_key": "sk-oai/second+1234567890",
    "model.tasks.NAME.api_key": "sk-task-1234567890",
    "telegram.token": "123456789:AAtelegram-token_of_the_bot",
    "search.api_key": "BSA-third-1234567890",
    "voice.openai_key": "sk-voice-1234567890",
    "mcp.servers.NAME.env": "ghp_env_of_a_server_123",
    "mcp.servers.NAME.headers": "Bearer header-of-a-server-456",
    "secrets.values": "broker secret/with+signs=1",
}
"""Every setting that is declared a secret."""
FILES = {
    "proxy.url": "proxy-password",
    "mqtt.password_file": "mqtt broker password",
    "backup.password_file": "backup password of the home",
    "gateway.token": "mc_" + "g" * 43,
}
SECRETS = {**DECLARED, **FILES}


NAMES = {
    "model.fallback.NAME": "model.fallback.second",
    "model.tasks.NAME": "model.tasks.summary",
    "servers.NAME.env": "servers.git.env.GIT_TOKEN",
    "servers.NAME.headers": "servers.web.headers.Authorization",
    "secrets.values": "secrets.values.weather",
}
"""Where a declared name has a place for another one: with it."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home in which every secret is set."""
    tmp_path.chmod(0o700)
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in DECLARED.items())
    for name, named in NAMES.items():
        lines = lines.replace(name, named)
    config = f"""
telegram.enabled = true
model.provider = "anthropic"
model.fallback.second.provider = "openai"
model.tasks.summary.provider = "openai"
proxy.url = "http://user:{SECRETS["proxy.url"]}@127.0.0.1:9"
mqtt.url = "mqtt://127.0.0.1:9"
mqtt.password_file = "{tmp_path / "mqtt.txt"}"
backup.folder = "{tmp_path}"
backup.password_file = "{tmp_path / "backup.txt"}"
mcp.servers.git.command = ["true"]
mcp.servers.web.url = "http://127.0.0.1:9/"
"""
    contents = {f"{name}.txt": SECRETS[f"{name}.password_file"] + "\n" for name in ("mqtt", "backup")}
    contents |= {"gateway.token": SECRETS["gateway.token"] + "\n", "config.toml": config, "secrets.toml": lines}
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return load_settings({}, home=tmp_path)


@pytest.fixture
def log(settings: Settings) -> Iterator[Path]:
    """The host's log as the host sets it up."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    mask = SecretMask(secret_texts(settings))
    SecretValues(settings.home, {}, mask=mask).names()
    log_to(settings.log, verbose=False, mask=mask)
    yield settings.log
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)


def forms(value: str) -> list[str]:
    """As somebody may have written it."""
    return [
        value,
        quote(value, safe=""),
        json.dumps({"key": value}),
        repr(value.encode()),
        base64.b64encode(value.encode()).decode(),
        base64.b64encode(f"user:{value}".encode()).decode(),
        f"https://user:{quote(value, safe='')}@host/",
    ]


def test_a_log_line_holds_no_known_secret_in_any_form(settings: Settings, log: Path) -> None:
    logger = logging.getLogger("microclaw.test")
    for name, value in SECRETS.items():
        for form in forms(value):
            logger.warning("%s was %s", name, form, extra={"reason": f"because of {form}"})
            try:
                raise ValueError(form)
            except ValueError:
                logger.exception("failed with %r", form)
    text = log.read_text()
    assert text.count(MASK) > 12 * 7
    assert "header-of-a-server-456" not in text
    for value in SECRETS.values():
        for form in (value, quote(value, safe="")):
            assert form not in text
        assert base64.b64encode(value.encode()).decode().rstrip("=")[:-1] not in text
        assert base64.b64encode(f"user:{value}".encode()).decode()[8:-4] not in text


def test_a_token_of_a_person_and_every_setting_that_is_declared_a_secret_are_known_to_the_mask(
    settings: Settings, log: Path
) -> None:
    """Whoever declares a new one adds it to DECLARED, and finds here whether the mask knows it."""
    logging.getLogger("microclaw.test").warning("came with %s", "Bearer mc_" + "aB3_-" * 8 + "xyz")
    assert "mc_aB3" not in log.read_text()  # only its hash is known
    assert {dotted(path) for path, setting in all_settings() if setting.secret} == set(DECLARED)
    found = secret_texts(settings)
    for name, value in SECRETS.items():
        assert value in found or name == "secrets.values", name  # SecretValues tells the mask of these


async def test_the_security_log_holds_no_known_secret(settings: Settings) -> None:
    mask = SecretMask(secret_texts(settings))
    async with AuditLog.opened(settings.home, mask=mask.masked) as audit:
        for value in SECRETS.values():
            audit.record(AuditEvent(AuditKind.CONFIG_CHANGED, f"it is {value} now", about=value))
    text = "".join(path.read_text() for path in (settings.home / "audit").iterdir())
    assert MASK in text
    for name, value in SECRETS.items():
        assert value not in text or name == "secrets.values"
