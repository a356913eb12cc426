"""The few questions of `microclaw setup`, and the changes of settings that their answers are. It writes no file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from microclaw.cli.setup_probe import Probe, probe_model, probe_search, probe_telegram
from microclaw.config import SearchSettings, TelegramSettings
from microclaw.config.checks import is_url
from microclaw.config.edit import Change

TRIES: Final = 3
LOCAL_MODEL: Final = "http://localhost:11434/v1"  # Ollama's address for OpenAI's clients
LAN: Final = "0.0.0.0:8443"
PROVIDERS: Final = ("anthropic", "openai", "compatible", "none")


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


class _Try(Protocol):
    def __call__(self, text: str, /) -> Probe: ...


def _ask_key(questions: Questions, text: str, probe: _Try, *, optional: bool = False) -> str | None:
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
