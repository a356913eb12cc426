"""The few questions of `microclaw setup`, and the changes of settings that their answers are. It writes no file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from microclaw.config.forms import Url, form_of
from microclaw.config.settings import SearchSettings, TelegramSettings
from microclaw.errors import MicroclawError, ToolFailed
from microclaw.text import clean_text, count_text

TRIES: Final = 3
LOCAL_MODEL: Final = "http://localhost:11434/v1"  # Ollama's address for OpenAI's clients
LAN: Final = "0.0.0.0:8443"
PROVIDERS: Final = ("anthropic", "openai", "compatible", "none")
PROBE_S: Final = 15.0
ANTHROPIC_VERSION: Final = "2023-06-01"  # docs.claude.com: the header every request carries
ADDRESSES: Final = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}


class Questions(Protocol):
    """Asks the person, or a test's script. An empty answer skips the question."""

    def say(self, text: str) -> None: ...
    def choose(self, text: str, choices: tuple[str, ...], default: str) -> str: ...
    def ask(self, text: str, default: str) -> str: ...
    def secret(self, text: str) -> str: ...
    def confirm(self, text: str, *, default: bool) -> bool: ...


@dataclass(frozen=True, slots=True)
class CurrentSettings:
    """The settings before setup: values as `config get` shows them (secrets masked), and their origins."""

    shown: Mapping[str, tuple[object, str]]
    values: Mapping[str, str]
    proxy: str | None = None

    def line(self, key: str) -> str | None:
        """A setting with secrets masked; None when it is not set."""
        value, origin = self.shown.get(key, (None, ""))
        return f"{value} ({origin})" if value is not None and origin not in ("", "default") else None


@dataclass(slots=True)
class Plan:
    """`refused`: keys that their service did not take and that were left out."""

    changes: dict[str, str | None] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    service: bool | None = None

    def put(self, key: str, value: str | None) -> None:
        self.changes[key] = value


def ask_all(questions: Questions, current: CurrentSettings) -> Plan:
    """Every question, each with its default; Ctrl-C ends it with nothing changed."""
    plan = Plan()
    questions.say("Enter keeps what is set or skips the question; Ctrl-C leaves everything as it is.")
    _ask_model(questions, current, plan)
    for key in KEYS:
        now = current.line(key.setting)
        questions.say(f"{key.name}: {now or key.hint}")
        text = _ask_key(questions, key.prompt, partial(key.probe, current))
        if text is not None:
            plan.put(key.setting, text)
    link = current.values.get("host.link")
    opened = link is not None and not link.startswith(("127.", "[::1]", "localhost")) and link != "off"
    wanted = questions.confirm("Let boards on the local network connect (port 8443, TLS)?", default=opened)
    if wanted != opened:
        plan.put("host.link", LAN if wanted else None)
    plan.service = questions.confirm("Start the host at each login?", default=False)
    return plan


def take_given(given: Mapping[str, str], current: CurrentSettings, say: Questions | None = None) -> Plan:
    """The plan of settings given on the command line, with no question asked. A refused key is left out."""
    plan = Plan()
    values = {**current.values, **given}
    if "model.provider" in given or "model.api_key" in given or "model.base_url" in given:
        provider = values.get("model.provider", "anthropic")
        probe = _probe_model(current, provider, values.get("model.api_key"), values.get("model.base_url"))
        _take(plan, given, ("model.provider", "model.name", "model.base_url", "model.api_key"), "model", probe, say)
    elif "model.name" in given:
        plan.put("model.name", given["model.name"])
    for key in KEYS:
        if key.setting in given:
            _take(plan, given, (key.setting,), key.name, key.probe(current, given[key.setting]), say)
    if "host.link" in given:
        plan.put("host.link", given["host.link"])
    return plan


def _take(
    plan: Plan, given: Mapping[str, str], keys: tuple[str, ...], name: str, probe: ProbeResult, say: Questions | None
) -> None:
    if say is not None:
        say.say(f"{name}: {_verdict(probe)}")
    if probe.works is False:
        plan.refused.append(name)
        return
    for key in keys:
        if key in given:
            plan.put(key, given[key])


def _ask_model(questions: Questions, current: CurrentSettings, plan: Plan) -> None:
    now = current.line("model.api_key") or current.line("model.base_url")
    provider_now = current.values.get("model.provider")
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
        key, url = current.values.get("model.api_key"), current.values.get("model.base_url")
        questions.say(f"  {_verdict(_probe_model(current, provider_now or '', key, url))}")
        return
    provider = "anthropic" if choice == "anthropic" else "openai"
    url = _ask_url(questions, current) if choice == "compatible" else None
    key = _ask_key(
        questions,
        "The key" if url is None else "The key, if it needs one",
        lambda text: _probe_model(current, provider, text or None, url),
        optional=url is not None,
    )
    if key is None and url is None:
        return
    plan.put("model.provider", provider)
    plan.put("model.base_url", url)
    plan.put("model.api_key", key)
    name = questions.ask("The model's name (empty: the default)", "")
    plan.put("model.name", name or None)


def _ask_url(questions: Questions, current: CurrentSettings) -> str:
    while True:
        url = questions.ask("Its address", current.values.get("model.base_url", LOCAL_MODEL))
        if form_of(Url).has(url):
            return url
        questions.say(f"{url} is not {form_of(Url).words}")


def _ask_key(
    questions: Questions, text: str, probe: Callable[[str], ProbeResult], *, optional: bool = False
) -> str | None:
    """A key that its service accepted, or that the person keeps anyway; None when skipped."""
    for _ in range(TRIES):
        key = questions.secret(f"{text} (not shown; Enter skips)").strip()
        if not key and not optional:
            return None
        found = probe(key)
        questions.say(f"  {_verdict(found)}")
        if found.works or questions.confirm("Keep it all the same?", default=found.works is None):
            return key or None
        if not key:
            return None
    questions.say("Skipped.")
    return None


def _verdict(probe: ProbeResult) -> str:
    how = {True: "it works", False: "it does not work", None: "not tested"}[probe.works]
    return f"{how}: {probe.text}"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`works` is None when the service did not answer."""

    works: bool | None
    text: str


def _probe_model(current: CurrentSettings, provider: str, key: str | None, url: str | None) -> ProbeResult:
    """Ask a provider which models there are: it costs nothing, and needs the key."""
    address = (url or current.values.get(f"address.{provider}") or ADDRESSES[provider]).rstrip(
        "/"
    )  # ANTHROPIC_BASE_URL
    if provider == "anthropic":
        url, headers = f"{address}/v1/models", {"x-api-key": key or "", "anthropic-version": ANTHROPIC_VERSION}
    else:
        url, headers = f"{address}/models", {"Authorization": f"Bearer {key}"} if key else {}
    found = asyncio.run(_models_at(url, headers, current.proxy))
    return ProbeResult(found.works, found.text.replace(key, "...") if key else found.text)  # a server may say it back


def _probe_telegram(current: CurrentSettings, token: str) -> ProbeResult:
    from microclaw.channels.telegram.api import BotApi, TelegramError, TelegramUnreachable

    address = current.values.get("telegram.base_url")
    settings = TelegramSettings(token, address) if address else TelegramSettings(token)

    async def bot() -> object:
        async with BotApi.opened(settings, proxy=current.proxy) as api:
            return await api.call("getMe")

    try:
        me = asyncio.run(bot())
    except TelegramError as exc:
        return ProbeResult(False if exc.status in (401, 404) else None, f"Telegram: {exc.status} {exc.description}")
    except TelegramUnreachable as exc:
        return ProbeResult(None, f"Telegram cannot be reached: {exc.message}")
    name = me.get("username") if isinstance(me, dict) else None
    return ProbeResult(True, f"it is the bot @{name}") if name else ProbeResult(None, "the answer names no bot")


def _probe_search(current: CurrentSettings, key: str) -> ProbeResult:
    from microclaw.agent.search_engines import search_engine

    address = current.values.get("search.base_url")
    settings = SearchSettings(api_key=key, base_url=address) if address else SearchSettings(api_key=key)
    try:
        hits = asyncio.run(search_engine(settings, proxy=current.proxy).search("ESP32", 1))
    except MicroclawError as exc:
        refused = isinstance(exc, ToolFailed) and any(f"answered {n}" in exc.message for n in (401, 403, 422))
        return ProbeResult(False if refused else None, exc.message)
    return ProbeResult(True, f"it found {len(hits)} page" if hits else "it answers, and found nothing")


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A service with one key."""

    setting: str
    name: str
    hint: str
    prompt: str
    probe: Callable[[CurrentSettings, str], ProbeResult]


KEYS: Final = (
    ServiceKey(
        "telegram.token", "Telegram", "@BotFather gives a bot and its token.", "Telegram bot token", _probe_telegram
    ),
    ServiceKey("search.api_key", "web search", "Brave Search gives a key.", "Brave Search key", _probe_search),
)


async def _models_at(url: str, headers: dict[str, str], proxy: str | None) -> ProbeResult:
    import httpx2

    from microclaw.models.bounded_http import bounded_client
    from microclaw.models.provider_errors import shown_address

    try:
        async with bounded_client(proxy=proxy, base_url=url) as client:
            answer = await client.get(url, headers=headers, timeout=PROBE_S)
    except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
        return ProbeResult(None, f"no answer from {shown_address(url)}: {exc or type(exc).__name__}")
    found: Any = None
    with suppress(ValueError, RecursionError):
        found = json.loads(answer.content)
    found = found if isinstance(found, dict) else {}
    if answer.status_code != 200:
        error = found.get("error")
        reason = clean_text(str(error.get("message", "")), one_line=True, limit=120) if isinstance(error, dict) else ""
        works = False if answer.status_code in (401, 403) else None
        return ProbeResult(works, f"{shown_address(url)} answered {answer.status_code} {reason}".rstrip())
    rows = found.get("data") if isinstance(found.get("data"), list) else []
    names = [row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
    if not names:
        return ProbeResult(None, f"{shown_address(url)} answered without a list of models: is this its address?")
    return ProbeResult(True, f"{count_text(len(names), 'model')}, such as {names[0][:60]}")
