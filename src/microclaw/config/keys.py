"""Every setting of config.toml: its type, bounds and meaning, as data. It reads no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

Kind: TypeAlias = Literal["text", "whole", "number", "switch", "words", "texts"]
Node: TypeAlias = "Key | Section | Named | Rows"

KIND_WORDS: Final[Mapping[Kind, str]] = {
    "text": "a text",
    "whole": "a whole number",
    "number": "a number",
    "switch": "true or false",
    "words": "a list of texts",
    "texts": "a table of texts",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One value. `check` says what is wrong with a value of the right type; None: nothing."""

    kind: Kind
    about: str
    secret: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[Any], str | None] | None = None


@dataclass(frozen=True, slots=True)
class Section:
    keys: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Named:
    """Tables whose names a person chooses, or one of `names`."""

    section: Section
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """An array of tables."""

    section: Section


def find_key(path: tuple[str, ...]) -> Key | None:
    """The key of a dotted path such as ("mcp", "servers", "git", "url"); None for anything else."""
    node: Node | None = ROOT
    for name in path:
        match node:
            case Section(keys) | Rows(Section(keys)):
                node = keys.get(name)
            case Named(section, names) if not names or name in names:
                node = section
            case _:
                return None
    return node if isinstance(node, Key) else None


def key_names(node: Node | None = None, before: str = "") -> list[str]:
    """Every key's dotted name in the order of this file; NAME stands for a chosen one."""
    match ROOT if node is None else node:
        case Key():
            return [before]
        case Section(keys):
            dot = f"{before}." if before else ""
            return [name for key, inner in keys.items() for name in key_names(inner, dot + key)]
        case Named(section, names):
            return [n for name in names or ("NAME",) for n in key_names(section, f"{before}.{name}")]
        case Rows(section):
            return key_names(section, f"{before}[]")
    raise AssertionError(before)


def is_url(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    return None if good else "is not an http:// or https:// address"


def is_proxy(value: str) -> str | None:
    good = is_url(value) is None and urlsplit(value).scheme == "http"
    return None if good else "is not an http://HOST:PORT address (the proxy itself is asked in plain HTTP, by CONNECT)"


def _is_door(value: str) -> str | None:
    host, _, port = value.rpartition(":")
    good = value == "off" or (bool(host) and port.isdecimal() and int(port) <= 65_535)
    return None if good else 'is neither HOST:PORT nor "off"'


def _is_loopback(value: str) -> str | None:
    from ipaddress import ip_address

    try:
        good = value == "localhost" or ip_address(value).is_loopback
    except ValueError:
        good = False
    return None if good else "is not this machine: the API speaks HTTP without TLS, for loopback alone"


def _is_timezone(value: str) -> str | None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return "is no time zone of this machine; an IANA name such as Europe/Berlin"
    return None


def _is_cron(value: str) -> str | None:
    from datetime import UTC, datetime

    from cronsim import CronSim, CronSimError

    try:
        CronSim(value, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as exc:
        return f"is no cron expression ({exc}); five fields such as 0 4 * * *"
    return None


def _is_chat(value: str) -> str | None:
    channel, _, chat_id = value.partition(":")
    return None if channel and chat_id else "is not CHANNEL:CHAT, as in tg:12345"


def _model(extra: Mapping[str, Node]) -> Section:
    return Section(
        {
            "provider": Key("text", "anthropic, or openai and what is compatible with it", choices=PROVIDERS),
            "name": Key("text", "the model's name"),
            "api_key": Key("text", "the provider's key", secret=True),
            "base_url": Key("text", "another address of the API", check=is_url),
            **extra,
        }
    )


def _whole(about: str, low: int, high: int) -> Key:
    return Key("whole", about, low=low, high=high)


PROVIDERS: Final = ("anthropic", "openai")
TASKS: Final = ("chat", "summary", "subagent", "heartbeat")
_DAY_S: Final = 86_400.0
_TOKENS: Final = 10_000_000_000

ROOT: Final = Section(
    {
        "host": Section(
            {
                "http_host": Key("text", "where the API listens; loopback alone", check=_is_loopback),
                "http_port": _whole("the API's port; 0 takes any free one", 0, 65_535),
                "link": Key("text", 'where devices connect: HOST:PORT or "off"', check=_is_door),
            }
        ),
        "model": _model(
            {
                "offline_first": Key("switch", "sentences the offline intents are sure of ask no model"),
                "fallback": Rows(_model({})),
                "tasks": Named(_model({}), TASKS),
            }
        ),
        "agent": Section(
            {
                "second_message": Key("text", "a message during a turn waits or steers", choices=("queue", "steer")),
                "queue": _whole("messages of one chat that may wait", 1, 1_000),
                "parallel_turns": _whole("turns at the same time", 1, 10_000),
                "turn_s": Key("number", "how long a turn may take", low=1, high=_DAY_S),
                "iterations": _whole("model requests a turn", 1, 100),
                "context_tokens": _whole("tokens of context a request", 1_000, 2_000_000),
                "approvals": Key("text", "which acts ask first", choices=("foreign", "always")),
                "approval_s": Key("number", "an approval's time-out", low=1, high=_DAY_S),
                "subagents": _whole("subagents at the same time; 0 is none", 0, 64),
                "timezone": Key("text", "an IANA name; the machine's when left out", check=_is_timezone),
            }
        ),
        "budget": Section(
            {
                "day_usd": Key("number", "what models may cost a day", low=0, high=1_000_000),
                "person_day_usd": Key("number", "the same for one person", low=0, high=1_000_000),
                "day_tokens": _whole("tokens a day", 0, _TOKENS),
                "person_day_tokens": _whole("tokens a day for one person", 0, _TOKENS),
            }
        ),
        "telegram": Section(
            {
                "enabled": Key("switch", "false switches the channel off"),
                "token": Key("text", "the bot's token, from @BotFather", secret=True),
                "base_url": Key("text", "another address of the Bot API", check=is_url),
            }
        ),
        "gateway": Section(
            {
                "enabled": Key("switch", "false switches the chat gateway off"),
                "host": Key("text", "where it listens; off loopback a token is required"),
                "port": _whole("its port; 0 takes any free one", 0, 65_535),
                "clients": _whole("clients at the same time", 1, 10_000),
            }
        ),
        "search": Section(
            {
                "engine": Key("text", "which engine web_search asks", choices=("brave", "searxng")),
                "api_key": Key("text", "Brave's key", secret=True),
                "base_url": Key("text", "the engine's address; searxng needs one", check=is_url),
            }
        ),
        "schedules": Section(
            {
                "heartbeat_minutes": _whole("how often HEARTBEAT.md is read; 0 is never", 0, 10_080),
                "wakes_an_hour": _whole("how often schedules may ask a model", 0, 3_600),
                "consolidate_at": Key("text", "when notes are put together (cron)", check=_is_cron),
                "heartbeat_chat": Key("text", "CHANNEL:CHAT, where the heartbeat tells", check=_is_chat),
            }
        ),
        "mcp": Section(
            {
                "servers": Named(
                    Section(
                        {
                            "command": Key("words", "the program and its arguments"),
                            "url": Key("text", "or a Streamable HTTP address", check=is_url),
                            "env": Key("texts", "the program's environment", secret=True),
                            "headers": Key("texts", "headers of every request", secret=True),
                            "trusted_reads": Key("switch", "its read-only tools need no approval"),
                        }
                    )
                )
            }
        ),
        "proxy": Section({"url": Key("text", "http://HOST:PORT, for everything that goes out", check=is_proxy)}),
        "limits": Section(
            {
                "body_bytes": _whole("a request's body from a person's program", 1_024, 1 << 30),
                "control_body_bytes": _whole("a request's body on the control socket", 1_024, 1 << 30),
                "body_s": Key("number", "how long a body may take", low=0.1, high=3_600),
                "source_chars": _whole("a program's source", 1_024, 1 << 26),
                "message_bytes": _whole("one message to the agent", 256, 1 << 24),
                "parallel_jobs": _whole("jobs at the same time", 1, 1_000),
                "stream_events": _whole("events that a slow listener may be behind", 16, 1 << 20),
                "keepalive_s": Key("number", "silence on a stream before a sign of life", low=0.1, high=3_600),
                "drain_s": Key("number", "how long started work may go on at the end", low=0, high=60),
            }
        ),
    }
)
