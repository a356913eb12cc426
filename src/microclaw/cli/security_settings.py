"""Weak settings and tokens, for `doctor --security`. It changes none."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from microclaw.addresses import is_local, is_loopback
from microclaw.cli.findings import Finding, problem, warning
from microclaw.cli.mqtt_lines import setting_warnings
from microclaw.config.settings import McpServerSettings, Settings
from microclaw.egress.allowlist import FILE_NAME, read_allowlist
from microclaw.egress.secret_values import UNLOCK, SecretValues, missing_secrets, missing_text
from microclaw.errors import StoreError
from microclaw.store.sqlite_file import connect
from microclaw.tasks.device_code import ALL
from microclaw.text import count_text

DAY_MS: Final = 86_400_000
FORGOTTEN_DAYS: Final = 90
OTHER_KEYS: Final = "keys of models and channels are in secrets.toml or in the environment, never in the keyring"


def setting_findings(settings: Settings) -> Iterator[Finding]:
    """What a person may have meant, and an attacker would like."""
    for name, url in _addresses(settings):
        if url is not None and urlsplit(url).scheme == "http" and not is_local(url):
            text = f"{name} is {url}: keys and words go there in clear text"
            yield problem("setting", text, f"https:// in {name}, or a server on this network")
    yield from (warning("mqtt", text, step) for text, step in setting_warnings(settings.mqtt))
    if settings.mqtt.url is not None and settings.mqtt.commands:
        text = "mqtt.commands is on: the host cannot tell who switches pins and programs; the broker has to"
        yield warning(
            "mqtt", text, "let the broker's list name who may write, or: microclaw config unset mqtt.commands"
        )
    for server in settings.mcp_servers:
        yield from _mcp_server(server)
    if settings.backup is None:
        text = "no backups are made: what is lost or encrypted by somebody else is gone"
        yield warning("backup", text, "microclaw backup --new-key KEYFILE, then docs/backup.md")
    if ALL in settings.tasks.from_devices:
        text = "tasks.from_devices has all: every device that is let in runs code in this machine's sandbox"
        yield warning("setting", text, "microclaw config set tasks.from_devices LABEL, of the devices that need it")
    for text in settings.problems:
        yield warning("setting", text, "microclaw config check")


def egress_findings(home: Path) -> Iterator[Finding]:
    """Entries of the allowlist that allow more than one host, clear text, or need a secret that is not there.

    Raises FileMistakes, ConfigError.
    """
    allowlist = read_allowlist(home / FILE_NAME)
    for name, line in missing_secrets(home, os.environ, allowlist).items():
        yield problem("egress", *missing_text(name, line))
    for entry in allowlist.entries:
        where = f"{FILE_NAME} line {entry.line}: {entry.host}"
        if entry.host.startswith("*."):
            text = f"{where} allows code in the sandbox every name below it, also one that somebody else can take"
            yield warning("egress", text, "write the hosts out one by one")
        if 80 in entry.ports and not entry.tls:
            text = f"{where} allows port 80: what goes there can be read and changed on the way"
            yield warning("egress", text, "tls: true, and no port 80")


def secret_findings(values: SecretValues) -> Iterator[Finding]:
    """Where the secrets of tasks lie, and which of them the keyring does not give."""
    places = tuple(values.places().values())
    unreadable = values.unreadable()
    for name, why in unreadable.items():
        text = f"the secret {name} is in the system's keyring, which does not give it ({why}): what needs it is refused"
        yield problem("secret", text, f"{UNLOCK}, or: microclaw secret set {name} @FILE --in file")
    lying = {"keyring": "in the system's keyring", "secrets.toml": "in secrets.toml, which only this account reads"}
    shown = [
        f"{count_text(places.count(place), 'secret')} {where}" for place, where in lying.items() if place in places
    ]
    if shown:
        yield Finding("secret", True, f"of tasks: {', '.join(shown)}; {OTHER_KEYS}")


def token_findings(database: Path, now_ms: int) -> Iterator[Finding]:
    """Tokens that never end, that nobody uses, and owners' ones of scope all. Nothing without a store. StoreError."""
    if not database.exists():
        return
    try:
        with closing(connect(database, read_only=True)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(
                """SELECT t.*, p.role, p.name AS person
                FROM person_tokens t JOIN people p USING (person_id) ORDER BY t.name"""
            ).fetchall()
    except sqlite3.Error as exc:
        raise StoreError(f"the tokens of {database} cannot be read: {exc}", next_step="microclaw doctor") from exc
    for row in rows:
        name, person, role, expires_ms = row["name"], row["person"], row["role"], row["expires_ms"]
        if expires_ms is not None and expires_ms <= now_ms:
            continue
        end = f"microclaw token rm {name!r}"
        if expires_ms is None:
            again = f"{end}, then: microclaw token create {name!r} --person {person!r} --days 90"
            yield warning("token", f"the token {name} of {person} ({role}) never ends", again)
        if role == "owner" and ("scope" not in row.keys() or row["scope"] == "all"):  # noqa: SIM118 - a Row
            text = f"the token {name} speaks for {person}, an owner: its program can say yes to its own questions"
            again = f"{end}, then: microclaw token create {name!r} --person {person!r} --scope act, or less"
            yield warning("token", text, again)
        if now_ms - max(row["made_ms"], row["used_ms"] or 0) > FORGOTTEN_DAYS * DAY_MS:
            yield warning("token", f"the token {name} was not used for {FORGOTTEN_DAYS} days", end)


def _addresses(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """Where keys, prompts or people's words go, by the name of the setting."""
    model = settings.model
    yield "model.base_url", model.openai_base_url
    yield "model.base_url", model.anthropic_base_url
    yield from (("model.fallback", choice.base_url) for choice in model.fallbacks)
    yield from ((f"model.tasks.{task}", choice.base_url) for task, choice in model.tasks.items())
    yield "voice.openai_base_url", settings.voice.openai_base_url
    yield "telegram.base_url", None if settings.telegram is None else settings.telegram.base_url
    yield "search.base_url", None if settings.search is None else settings.search.base_url


def _mcp_server(server: McpServerSettings) -> Iterator[Finding]:
    name = f"mcp.servers.{server.name}"
    if server.url is not None:
        host = urlsplit(server.url).hostname or ""
        if server.url.startswith("http://") and not is_loopback(host):
            text = f"{name} is {server.url}: its headers and what the agent asks can be read on the way"
            yield problem("mcp", text, "https://, or a server on this machine")
    elif server.command:
        text = f"{name} runs {server.command[0]} as this account: it can read what this account can"
        yield warning("mcp", text, "run only what you would install; in a container, if it needs no files of yours")
    if server.trusted_reads:
        text = f"{name} is trusted: what it calls reading is not asked for, and its words reach the agent"
        yield warning("mcp", text, f"microclaw config unset {name}.trusted_reads")
