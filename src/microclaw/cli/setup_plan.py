"""The few questions of `microclaw setup`, and the changes of settings that their answers are. It writes no file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from microclaw.config import SearchSettings, TelegramSettings
from microclaw.config.checks import is_url
from microclaw.config.edit import Change
from microclaw.errors import MicroclawError, ToolFailed
from microclaw.text import clean_text

TRIES: Final = 3
LOCAL_MODEL: Final = "http://localhost:11434/v1"  # Ollama's address for OpenAI's clients
LAN: Final = "0.0.0.0:8443"
PROVIDERS: Final = ("anthropic", "openai", "compatible", "none")
PROBE_S: Final = 15.0
ANTHROPIC_VERSION: Final = "2023-06-01"  # docs.claude.com: the header every request carries
ADDRESSES: Final = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}


class Questions(Protocol):
    """Who answers. An empty answer skips the question."""

    def say(self, text: str) -> None: ...
    def choose(self, text: str, choices: tuple[str, ...], default: str) -> str: ...
    def ask(self, text: str, default: str) -> str: ...
    def secret(self, text: str) -> str: ...
    def confirm(self, text: str, *, default: bool) -> bool: ...


@dataclass(frozen=True, slots=True)
class Present:
    """What is set now: values as `config get` shows them (secrets masked), and where they come from."""

    shown: Mapping[str, tuple[object, str]]
    values: Mapping[str, str]
    proxy: str | None = None

    def line(self, key: str) -> str | None:
        """A setting as a person may see it; None when it is not set."""
        value, origin = self.shown.get(key, (None, ""))
        return f"{value} ({origin})" if value is not None and origin not in ("", "default") else None


@dataclass(slots=True)
class Plan:
    """`refused`: keys that their service did not take and that were left out."""

    changes: list[Change] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    service: bool | None = None

    def put(self, key: str, value: str | None) -> None:
        self.changes.append(Change(key, value))


def ask_all(questions: Questions, present: Present) -> Plan:
    """Every question, each with its default; Ctrl-C ends it with nothing changed."""
    plan = Plan()
    questions.say("Enter keeps what is set or skips the question; Ctrl-C leaves everything as it is.")
    _ask_model(questions, present, plan)
    _ask_telegram(questions, present, plan)
    _ask_search(questions, present, plan)
    link = present.values.get("host.link")
    opened = link is not None and not link.startswith(("127.", "[::1]", "localhost")) and link != "off"
    wanted = questions.confirm("Let boards on the local network connect (port 8443, TLS)?", default=opened)
    if wanted != opened:
        plan.put("host.link", LAN if wanted else None)
    plan.service = questions.confirm("Start the host at each login?", default=False)
    return plan


def take_given(given: Mapping[str, str], present: Present, say: Questions | None = None) -> Plan:
    """The same without a question, from settings' names and values. What its service refuses is left out."""
    plan = Plan()
    values = {**present.values, **given}
    if "model.provider" in given or "model.api_key" in given or "model.base_url" in given:
        provider = values.get("model.provider", "anthropic")
        probe = _probe_model(present, provider, values.get("model.api_key"), values.get("model.base_url"))
        _take(plan, given, ("model.provider", "model.name", "model.base_url", "model.api_key"), "model", probe, say)
    elif "model.name" in given:
        plan.put("model.name", given["model.name"])
    if "telegram.token" in given:
        _take(plan, given, ("telegram.token",), "Telegram", _probe_telegram(present, given["telegram.token"]), say)
    if "search.api_key" in given:
        _take(plan, given, ("search.api_key",), "web search", _probe_search(present, given["search.api_key"]), say)
    if "host.link" in given:
        plan.put("host.link", given["host.link"])
    return plan


def _take(
    plan: Plan, given: Mapping[str, str], keys: tuple[str, ...], name: str, probe: Probe, say: Questions | None
) -> None:
    if say is not None:
        say.say(f"{name}: {_verdict(probe)}")
    if probe.works is False:
        plan.refused.append(name)
        return
    for key in keys:
        if key in given:
            plan.put(key, given[key])


def _ask_model(questions: Questions, present: Present, plan: Plan) -> None:
    now = present.line("model.api_key") or present.line("model.base_url")
    provider_now = present.values.get("model.provider")
    if now:
        questions.say(f"model: {provider_now}, {now}")
    default = "keep" if provider_now else "none"
    choices = (*PROVIDERS, "keep") if provider_now else PROVIDERS
    choice = questions.choose("Which models answer?", choices, default)
    if choice == "none":
        questions.say("Without a model the offline intents answer.")
        if provider_now:
            for setting in ("model.provider", "model.name", "model.base_url", "model.api_key"):
                plan.put(setting, None)
        return
    if choice == "keep":
        _show(questions, _probe_model(present, provider_now or "", *_model_now(present)))
        return
    provider = "anthropic" if choice == "anthropic" else "openai"
    url = _ask_url(questions, present) if choice == "compatible" else None
    key = _ask_key(
        questions,
        "The key" if url is None else "The key, if it needs one",
        lambda text: _probe_model(present, provider, text or None, url or _other_address(present, provider)),
        optional=url is not None,
    )
    if key is None and url is None:
        return
    plan.put("model.provider", provider)
    plan.put("model.base_url", url)
    plan.put("model.api_key", key)
    name = questions.ask("The model's name (empty: the default)", "")
    plan.put("model.name", name or None)


def _ask_url(questions: Questions, present: Present) -> str:
    while True:
        url = questions.ask("Its address", present.values.get("model.base_url", LOCAL_MODEL))
        complaint = is_url(url)
        if complaint is None:
            return url
        questions.say(f"{url} {complaint}")


def _ask_telegram(questions: Questions, present: Present, plan: Plan) -> None:
    if now := present.line("telegram.token"):
        questions.say(f"Telegram: {now}")
    else:
        questions.say("Telegram: @BotFather gives a bot and its token.")
    key = _ask_key(questions, "Telegram bot token", lambda text: _probe_telegram(present, text))
    if key is not None:
        plan.put("telegram.token", key)


def _ask_search(questions: Questions, present: Present, plan: Plan) -> None:
    if now := present.line("search.api_key"):
        questions.say(f"web search: {now}")
    key = _ask_key(questions, "Brave Search key", lambda text: _probe_search(present, text))
    if key is not None:
        plan.put("search.api_key", key)


def _ask_key(questions: Questions, text: str, probe: Callable[[str], Probe], *, optional: bool = False) -> str | None:
    """A key that its service took, or that the person wants all the same; None: skipped."""
    for _ in range(TRIES):
        key = questions.secret(f"{text} (not shown; Enter skips)").strip()
        if not key and not optional:
            return None
        found = probe(key)
        _show(questions, found)
        if found.works or questions.confirm("Keep it all the same?", default=found.works is None):
            return key or None
        if not key:
            return None
    questions.say("Skipped.")
    return None


def _show(questions: Questions, probe: Probe) -> None:
    questions.say(f"  {_verdict(probe)}")


def _verdict(probe: Probe) -> str:
    match probe.works:
        case True:
            return f"it works: {probe.text}"
        case False:
            return f"it does not work: {probe.text}"
        case None:
            return f"not tested: {probe.text}"


def _model_now(present: Present) -> tuple[str | None, str | None]:
    return present.values.get("model.api_key"), present.values.get("model.base_url")


def _other_address(present: Present, provider: str) -> str | None:
    """The environment's address of a provider (ANTHROPIC_BASE_URL): there a key of the file will go."""
    return present.values.get(f"address.{provider}")


def _probe_model(present: Present, provider: str, key: str | None, url: str | None) -> Probe:
    return asyncio.run(probe_model(provider, key, url or _other_address(present, provider), present.proxy))


def _probe_telegram(present: Present, token: str) -> Probe:
    address = present.values.get("telegram.base_url")
    settings = TelegramSettings(token, address) if address else TelegramSettings(token)
    return asyncio.run(probe_telegram(settings, present.proxy))


def _probe_search(present: Present, key: str) -> Probe:
    address = present.values.get("search.base_url")
    settings = SearchSettings(api_key=key, base_url=address) if address else SearchSettings(api_key=key)
    return asyncio.run(probe_search(settings, present.proxy))


@dataclass(frozen=True, slots=True)
class Probe:
    """`works` None: nobody answered, so nobody knows."""

    works: bool | None
    text: str


async def probe_model(provider: str, key: str | None, base_url: str | None, proxy: str | None) -> Probe:
    """Ask a provider which models there are: it costs nothing, and needs the key."""
    address = (base_url or ADDRESSES[provider]).rstrip("/")
    if provider == "anthropic":
        url, headers = f"{address}/v1/models", {"x-api-key": key or "", "anthropic-version": ANTHROPIC_VERSION}
    else:
        url, headers = f"{address}/models", {"Authorization": f"Bearer {key}"} if key else {}
    found = await _models_at(url, headers, proxy)
    return Probe(found.works, found.text.replace(key, "...") if key else found.text)  # a server may say it back


async def probe_telegram(settings: TelegramSettings, proxy: str | None) -> Probe:
    from microclaw.channels.telegram.api import BotApi, TelegramError, TelegramUnreachable

    try:
        async with BotApi.opened(settings, proxy=proxy) as api:
            me = await api.call("getMe")
    except TelegramError as exc:
        if exc.status in (401, 404):
            return Probe(False, f"Telegram does not know this token ({exc.status} {exc.description})")
        return Probe(None, f"Telegram answered {exc.status} {exc.description}")
    except TelegramUnreachable as exc:
        return Probe(None, f"Telegram cannot be reached: {exc.message}")
    name = me.get("username") if isinstance(me, dict) else None
    return Probe(True, f"it is the bot @{name}") if name else Probe(None, "the answer names no bot")


async def probe_search(settings: SearchSettings, proxy: str | None) -> Probe:
    from microclaw.tools.search_engines import search_engine

    try:
        hits = await search_engine(settings, proxy=proxy).search("ESP32", 1)
    except ToolFailed as exc:
        refused = any(f"answered {status}" in exc.message for status in (401, 403, 422))
        return Probe(False if refused else None, exc.message)
    except MicroclawError as exc:
        return Probe(None, exc.message)
    return Probe(True, f"it found {len(hits)} page" if hits else "it answers, and found nothing")


async def _models_at(url: str, headers: dict[str, str], proxy: str | None) -> Probe:
    import httpx2

    from microclaw.models.bounded_http import bounded_client

    try:
        async with bounded_client(proxy=proxy, base_url=url) as client:
            answer = await client.get(url, headers=headers, timeout=PROBE_S)
    except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
        return Probe(None, f"no answer from {_host(url)}: {exc or type(exc).__name__}")
    if answer.status_code in (401, 403):
        return Probe(False, f"refused: {answer.status_code} {_said(answer.content)}".rstrip())
    if answer.status_code != 200:
        return Probe(None, f"{_host(url)} answered {answer.status_code} {_said(answer.content)}".rstrip())
    names = [row["id"] for row in _rows(answer.content) if isinstance(row.get("id"), str)]
    if not names:
        return Probe(None, f"{_host(url)} answered without a list of models: is this its address?")
    count = "1 model" if len(names) == 1 else f"{len(names)} models"
    return Probe(True, f"{count}, such as {names[0][:60]}")


def _host(url: str) -> str:
    from microclaw.models.provider_errors import shown_address

    return shown_address(url)


def _rows(content: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(content)["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _said(content: bytes) -> str:
    """The error's own words, where it has some: both providers put them into error.message."""
    try:
        message = json.loads(content)["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return clean_text(str(message), one_line=True, limit=120)
