"""Known secrets stand in no log: neither plain nor encoded, in the host's log, the security log or another file."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.host.egress.proxying import WAIT_S, server

from microclaw.app import running_host
from microclaw.host.audit.event import AuditEvent, AuditKind
from microclaw.host.audit.log import AuditLog
from microclaw.host.config.load import load_settings
from microclaw.host.config.schema import all_settings, dotted
from microclaw.host.config.settings import Settings
from microclaw.host.config.show import secret_texts
from microclaw.host.egress.masking import MASK, SecretMask
from microclaw.host.egress.secret_values import SecretValues
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.host_process import log_to

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
    "gateway.token": "mc_" + "g" * 43,
}
SECRETS = {**DECLARED, **FILES}
OWN_FILES = {"secrets.toml", "config.toml", "mqtt.txt", "gateway.token"}
ECHOED = ("telegram.token", "mcp.servers.NAME.headers")
MODELS = "".join(f'model.{name}provider = "openai"\n' for name in ("", "fallback.second.", "tasks.summary."))
NAMES = {
    "model.fallback.NAME": "model.fallback.second",
    "model.tasks.NAME": "model.tasks.summary",
    "servers.NAME.env": "servers.git.env.GIT_TOKEN",
    "servers.NAME.headers": "servers.web.headers.Authorization",
    "secrets.values": "secrets.values.weather",
}
"""Where a declared name has a place for another one: with it."""


@pytest.fixture
def settings_at(tmp_path: Path) -> Callable[..., Settings]:
    """A home in which every secret is set; its services are at that port of this machine."""

    def made(port: int, *, with_models: bool = True) -> Settings:
        home = tmp_path / "home"
        home.mkdir(mode=0o700)
        declared = {name: value for name, value in DECLARED.items() if with_models or not name.startswith("model.")}
        lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in declared.items())
        for name, named in NAMES.items():
            lines = lines.replace(name, named)
        config = f"""
telegram = {{enabled = true, base_url = "http://127.0.0.1:{port}"}}
proxy.url = "http://user:{SECRETS["proxy.url"]}@127.0.0.1:9"
mqtt.url = "mqtt://127.0.0.1:9"
mqtt.password_file = "{home / "mqtt.txt"}"
mcp.servers.git.command = ["sh", "-c", "env; env >&2; exit 3"]
mcp.servers.web.url = "http://127.0.0.1:{port}/mcp"
"""
        contents = {
            "mqtt.txt": SECRETS["mqtt.password_file"] + "\n",
            "gateway.token": SECRETS["gateway.token"] + "\n",
            "config.toml": config + MODELS * with_models,
            "secrets.toml": lines,
        }
        for name, text in contents.items():
            (home / name).write_text(text)
            (home / name).chmod(0o600)
        return load_settings({}, home=home, http_port=None)

    return made


@pytest.fixture
def settings(settings_at: Callable[..., Settings]) -> Settings:
    return settings_at(9)


@pytest.fixture
def log_of() -> Iterator[Callable[[Settings], SecretMask]]:
    """Sets the host's log up as the host does; with its mask."""
    root = logging.getLogger()
    before = root.handlers[:]
    level = root.level

    def opened(settings: Settings) -> SecretMask:
        mask = SecretMask(secret_texts(settings))
        SecretValues(settings.home, {}, mask=mask).names()
        log_to(settings.log, verbose=True, mask=mask)
        return mask

    yield opened
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


async def test_no_log_holds_a_known_secret_in_any_form(
    settings: Settings, log_of: Callable[[Settings], SecretMask]
) -> None:
    mask = log_of(settings)
    logger = logging.getLogger("microclaw.test")
    async with AuditLog.open(settings.home, mask=mask.masked) as audit:
        for name, value in SECRETS.items():
            audit.record(AuditEvent(AuditKind.CONFIG_CHANGED, f"it is {value} now", about=value))
            for form in forms(value):
                logger.warning("%s was %s", name, form, extra={"reason": f"because of {form}"})
                try:
                    raise ValueError(form)
                except ValueError:
                    logger.exception("failed with %r", form)
    logger.warning("came with %s", "Bearer mc_" + "aB3_-" * 8 + "xyz")  # a person's, of which only a hash is known
    audited = "".join(path.read_text() for path in (settings.home / "audit").iterdir())
    text = settings.log.read_text() + audited
    assert (text.count(MASK) > 12 * 7, MASK in audited) == (True, True)
    assert "mc_aB3" not in text
    assert "header-of-a-server-456" not in text
    for value in SECRETS.values():
        for form in (value, quote(value, safe="")):
            assert form not in text
        assert base64.b64encode(value.encode()).decode().rstrip("=")[:-1] not in text
        assert base64.b64encode(f"user:{value}".encode()).decode()[8:-4] not in text


def test_every_setting_that_is_declared_a_secret_is_known_to_the_mask(settings: Settings) -> None:
    """Whoever declares a new one adds it to DECLARED, and finds here whether the mask knows it."""
    assert {dotted(path) for path, setting in all_settings() if setting.secret} == set(DECLARED)
    found = secret_texts(settings)
    for name, value in SECRETS.items():
        assert value in found or name == "secrets.values", name  # SecretValues tells the mask of these


async def echo(_: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """401, with all that came in every place that a client may quote."""
    line = " ".join(head.decode(errors="replace").split("\r\n"))[:2000].replace('"', "'")
    error = {"message": f"bad key: {line}", "type": "auth", "code": line}
    body = json.dumps({"ok": False, "error_code": 401, "description": line, "error": error})
    start = f"HTTP/1.1 401 No {line[:200]}\r\nContent-Type: application/json\r\nX-Echo: {line[:500]}\r\n"
    writer.write(f"{start}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
    await writer.drain()


async def test_after_a_run_against_servers_that_echo_them_secrets_stand_in_their_own_files_alone(
    tmp_path: Path, settings_at: Callable[..., Settings], log_of: Callable[[Settings], SecretMask]
) -> None:
    async with asyncio.timeout(WAIT_S), server(echo) as web:
        settings = await asyncio.to_thread(partial(settings_at, web.port, with_models=False))
        await asyncio.to_thread(SecretValues(settings.home, {}).set, "task", DECLARED["secrets.values"])
        mask = await asyncio.to_thread(log_of, settings)
        async with running_host(settings, mask=mask):
            client = Client(settings.control_socket)
            while not all(any(SECRETS[name].encode() in head for head in web.seen) for name in ECHOED):
                await web.news.wait()
                web.news.clear()
            status = json.dumps(await asyncio.to_thread(client.get, "/v1/status"))
    await asyncio.to_thread((tmp_path / "status.json").write_text, status)
    found = await asyncio.to_thread(holding, tmp_path)
    assert {file for file, _ in found} == OWN_FILES, found


def holding(folder: Path) -> set[tuple[str, str]]:
    """The files of the run that hold a secret, with its name: logs, the security log, the store, the status."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"microclaw.log", "microclaw.db", "acts.jsonl"} <= {path.name for path in files}
    return {
        (path.name, name)
        for path in files
        for name, value in SECRETS.items()
        if value.removeprefix("Bearer ").encode() in path.read_bytes()
    }
