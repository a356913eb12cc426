"""`microclaw setup`: asks a few questions, tests each key at its service, writes the settings. No host needs to run."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import click
from msgspec import Struct

from microclaw.agent.models.protocol import AssistantReply, Message, Model, ModelRequest, ToolReturn, ToolSpec, UserText
from microclaw.errors import ModelError
from microclaw.host.config.edit import write_changes
from microclaw.host.config.forms import Url, form_of
from microclaw.host.config.load import VARIABLES, private_home
from microclaw.host.config.settings import ModelChoice, Provider
from microclaw.host.config.show import DEFAULT, read_views
from microclaw.host.config.sources import Sources
from microclaw.interfaces.cli.options import GlobalOptions, command, needs_terminal
from microclaw.text import clean_text, count_text

TRIES: Final = 3
# The ports of Ollama, LM Studio and llama.cpp for clients of OpenAI; 8081 is llama.cpp's if this host has 8080.
LOCAL_MODELS: Final = (
    "http://localhost:11434/v1",
    "http://localhost:1234/v1",
    "http://localhost:8080/v1",
    "http://localhost:8081/v1",
)
PROVIDERS: Final[Mapping[str, Provider]] = {
    "anthropic": "anthropic",
    "openai": "openai",
    "google": "google",
    "compatible": "openai",
}
"""Providers by the answers to the question."""
MODEL: Final = ("model.provider", "model.name", "model.base_url", "model.api_key")
PROBE_S: Final = 15.0
LOCAL_PROBE_S: Final = 2.0
# A server may have to load the model before it answers.
TRY_S: Final = 120.0
TRY_REQUESTS: Final = 4
# Of an answer, with the model's thoughts.
TRY_TOKENS: Final = 4096
SET_PIN: Final = """{"type": "object", "required": ["pin", "level"], "properties": {"pin": {"type": "integer"},
"level": {"type": "integer", "enum": [0, 1]}}}"""
# Keys of other services: the setting, the service, how to get a key.
KEYS: Final = (
    ("telegram.token", "Telegram", "@BotFather gives a bot and its token."),
    ("search.api_key", "web search", "Brave Search gives a key."),
)
Changes: TypeAlias = dict[str, str | None]
Values: TypeAlias = Mapping[str, str]
"""Present settings by their names: `shown` has them as `config get` shows them, `values` plainly."""


@command()
def setup(options: GlobalOptions) -> None:
    """Set up models, Telegram and search.

    A few questions; each key is tested. Enter skips one, Ctrl-C changes nothing. Without a terminal: config set.
    """
    home = private_home(os.environ, options.home)
    # This refuses files with mistakes before any question is asked.
    options.settings()
    needs_terminal("the questions of setup", "microclaw config set KEY VALUE, or @FILE")
    written, _ = write_changes(home, os.environ, ask_all(options, home))
    text = "nothing changed"
    if written:
        names = ", ".join(str(home / name) for name in written)
        text = f"written: {names}"
    options.report("setup", {"files": written}, text)
    options.say("next: microclaw up --virtual 1, then microclaw chat; at each login: microclaw up --service install")


def ask_all(options: GlobalOptions, home: Path) -> Changes:
    """Ask every question, each with its default. Return the settings to write."""
    shown = _shown_settings(home)
    values = _present_values(home)
    options.say("Enter keeps a present value, takes a suggestion or skips the question; Ctrl-C changes nothing.")
    changes = _ask_model(options, shown=shown, values=values)
    for setting, name, hint in KEYS:
        options.say(f"{name}: {shown.get(setting, hint)}")
        key = _ask_key(options, f"The key of {name}", partial(_probe, values, setting))
        if key is not None:
            changes[setting] = key
    return changes


def _shown_settings(home: Path) -> dict[str, str]:
    shown = {}
    for view in read_views(home, os.environ):
        if view.value is not None and view.origin not in ("", DEFAULT):
            shown[view.key] = f"{view.value} ({view.origin})"
    return shown


def _present_values(home: Path) -> dict[str, str]:
    """Return the plain values of text settings, and the addresses of providers from the environment."""
    values = {}
    for path, value in Sources(home, os.environ).values.items():
        if isinstance(value, str):
            values[".".join(path)] = value
    for provider, (_, variable) in VARIABLES.items():
        values[f"address.{provider}"] = os.environ.get(variable, "").strip()
    return values


def _ask_model(options: GlobalOptions, *, shown: Values, values: Values) -> Changes:
    """Ask which models answer, with which key and name. Return the settings to write, {} to keep them."""
    provider_now = values.get("model.provider")
    now = shown.get("model.api_key") or shown.get("model.base_url")
    if now:
        options.say(f"model: {provider_now}, {now}")
    local = None
    if not provider_now:
        local = asyncio.run(_find_local_model())
    if local is not None:
        options.say(f"a model server runs here: {local}")
    choice = _ask_provider(provider_now, local)
    if choice == "none":
        options.say("Without a model the offline intents answer.")
        return dict.fromkeys(MODEL) if provider_now else {}
    if choice == "keep":
        _test_present_model(options, values)
        return {}
    return _ask_new_model(options, values, choice, local)


def _ask_provider(provider_now: str | None, local: str | None) -> str:
    """Ask for one of PROVIDERS, "none", or "keep" if a model is set."""
    choices = [*PROVIDERS, "none"]
    default = "none"
    if provider_now:
        choices.append("keep")
        default = "keep"
    elif local:
        default = "compatible"
    return str(click.prompt("Which models answer?", default=default, type=click.Choice(choices)))


def _test_present_model(options: GlobalOptions, values: Values) -> None:
    """Print whether the model that is set works; it is kept in any case."""
    key = values.get("model.api_key")
    url = values.get("model.base_url")
    options.say(f"  {_probe(values, values.get('model.provider', ''), key, url).line}")
    model = options.settings().model.main
    if model is not None:
        options.say(f"  {_try(options, values, model).line}")


def _ask_new_model(options: GlobalOptions, values: Values, choice: str, local: str | None) -> Changes:
    """Ask for the key and the name of a model, until they work or are kept. Return {} if they were skipped."""
    provider = PROVIDERS[choice]
    url = None
    if choice == "compatible":
        url, key = _ask_address(options, values, local)
    else:
        key = _ask_key(options, "The key", partial(_probe, values, provider))
    if key is None:
        return {}
    key = key or None
    for _ in range(TRIES):
        name = click.prompt("The model's name (empty: the default)", default="", show_default=False).strip() or None
        model = ModelChoice(provider, name, key, url or values.get(f"address.{provider}") or None)
        if _is_kept(options, _try(options, values, model)):
            return {"model.provider": provider, "model.name": name, "model.base_url": url, "model.api_key": key}
    options.say("Skipped.")
    return {}


def _ask_address(options: GlobalOptions, values: Values, local: str | None) -> tuple[str, str | None]:
    """Ask for a server's address and its key, until they work or are kept. The key is None if the person gave up."""
    for _ in range(TRIES):
        url = _ask_url(values, local)
        probe = partial(_probe, values, "openai", url=url)
        key = _ask_key(options, "The key, if it needs one", probe, optional=True)
        if key is not None:
            break
    return url, key


def _ask_url(values: Values, local: str | None) -> str:
    def parse(text: str) -> str:
        if not form_of(Url).has(text.strip()):
            raise click.UsageError(f"{text} is not {form_of(Url).words}")
        return text.strip()

    default = values.get("model.base_url") or local or LOCAL_MODELS[0]
    return str(click.prompt("Its address", default=default, value_proc=parse))


def _ask_key(
    options: GlobalOptions, text: str, probe: Callable[[str], ProbeResult], optional: bool = False
) -> str | None:
    """Return a key that its service accepted or the user keeps: "" if none is needed, None if skipped."""
    for _ in range(TRIES):
        prompt = f"{text} (not shown; Enter skips)"
        key: str = click.prompt(prompt, default="", hide_input=True, show_default=False).strip()
        if not key and not optional:
            return None
        if _is_kept(options, probe(key)):
            return key
        if not key:
            return None
    options.say("Skipped.")
    return None


def _is_kept(options: GlobalOptions, result: ProbeResult) -> bool:
    """Print the result of a test. Return True if it works, or if the user keeps the value all the same."""
    options.say(f"  {result.line}")
    return bool(result.works) or click.confirm("Keep it all the same?", default=result.works is None)


class ProbeResult(Struct, frozen=True):
    """The result of a test at a service; `works` is None if the service did not answer."""

    works: bool | None
    text: str

    @property
    def line(self) -> str:
        if self.works is None:
            verdict = "not tested"
        elif self.works:
            verdict = "it works"
        else:
            verdict = "it does not work"
        return f"{verdict}: {self.text}"


class Service(Struct, frozen=True):
    """A service that takes a key (`{}` in `path` and `headers`), and a request that costs nothing and needs the key.

    `setting` is the name of the setting with its address, `address` the default. `read` describes a correct answer, and
    `refusals` are the HTTP status codes for a wrong key.
    """

    setting: str
    address: str
    path: str
    read: Callable[[Any], str]
    headers: Mapping[str, str] = {}
    refusals: Collection[int] = (401, 403)


def _describe_models(answer: Any) -> str:
    return _describe_names([row["id"] for row in answer["data"] if isinstance(row.get("id"), str)])


def _describe_google_models(answer: Any) -> str:
    return _describe_names([row["name"].removeprefix("models/") for row in answer["models"]])


def _describe_names(names: Sequence[str]) -> str:
    return f"{count_text(len(names), 'model')}, such as {names[0][:60]}"


def _describe_bot(answer: Any) -> str:
    return f"it is the bot @{answer['result']['username']}"


def _describe_pages(answer: Any) -> str:
    pages = answer.get("web", {}).get("results", ())
    return f"it found {count_text(len(pages), 'page')}"


SERVICES: Final = {
    "anthropic": Service(
        setting="address.anthropic",
        address="https://api.anthropic.com",
        path="/v1/models",
        read=_describe_models,
        # Every request needs a version (docs.claude.com).
        headers={"x-api-key": "{}", "anthropic-version": "2023-06-01"},
    ),
    "openai": Service(
        setting="address.openai",
        address="https://api.openai.com/v1",
        path="/models",
        read=_describe_models,
        headers={"Authorization": "Bearer {}"},
        refusals=(401, 403, 404),
    ),
    "google": Service(
        setting="address.google",
        address="https://generativelanguage.googleapis.com",
        path="/v1beta/models",
        read=_describe_google_models,
        headers={"x-goog-api-key": "{}"},
        # Google answers 400 to a wrong key.
        refusals=(400, 401, 403),
    ),
    "telegram.token": Service(
        setting="telegram.base_url",
        address="https://api.telegram.org",
        path="/bot{}/getMe",
        read=_describe_bot,
        refusals=(401, 404),
    ),
    "search.api_key": Service(
        setting="search.base_url",
        address="https://api.search.brave.com",
        path="/res/v1/web/search?q=ESP32&count=1",
        read=_describe_pages,
        headers={"X-Subscription-Token": "{}"},
        refusals=(401, 403, 422),
    ),
}


def _probe(values: Values, name: str, key: str | None, url: str | None = None) -> ProbeResult:
    """Test a key at its service. The result's text never contains the key."""
    service = SERVICES[name]
    key_in_path = quote(key or "", safe=":")
    base = url or values.get(service.setting) or service.address
    address = base.rstrip("/") + service.path.format(key_in_path)
    headers = {}
    if key:
        headers = {header: text.format(key) for header, text in service.headers.items()}
    result = asyncio.run(_ask(service, address, headers, values.get("proxy.url")))
    text = result.text
    # A server may repeat the key in its answer, and the address may contain it.
    for secret in filter(None, (key, key_in_path)):
        text = text.replace(secret, "...")
    return ProbeResult(result.works, clean_text(text, one_line=True, limit=200))


async def _find_local_model() -> str | None:
    """Return the address of a model server on this machine: the first of LOCAL_MODELS that works without a key."""
    service = SERVICES["openai"]
    probes = [_ask(service, f"{url}{service.path}", {}, None, LOCAL_PROBE_S) for url in LOCAL_MODELS]
    results = await asyncio.gather(*probes)
    for url, result in zip(LOCAL_MODELS, results, strict=True):
        if result.works:
            return url
    return None


def _try(options: GlobalOptions, values: Values, choice: ModelChoice) -> ProbeResult:
    """Ask the model for two acts of a board, which are not done."""
    from microclaw.agent.models.router import provider_model

    options.say(f"  trying the model (up to {TRY_S:.0f} s) ...")
    return asyncio.run(_try_model(provider_model(choice, values.get("proxy.url"), TRY_S)))


async def _try_model(model: Model) -> ProbeResult:
    """Report whether it calls tools, two at once, and answers after them. `works` is None if it could not be asked."""
    try:
        async with asyncio.timeout(TRY_S):
            most_calls, answer = await _dialogue(model)
    except TimeoutError:
        return ProbeResult(None, f"{model.name} came to no end within {TRY_S:.0f} s")
    except ModelError as exc:
        return _failed(exc.message, is_refusal=exc.fault in ("refused", "auth", "quota"))
    finally:
        await model.aclose()
    if most_calls == 0:
        text = f"{model.name} does not call tools: only questions will work (docs/models.md)"
        return ProbeResult(works=False, text=text)
    at_once = "yes" if most_calls > 1 else "no, one after the other"
    answers = "yes" if answer else "no"
    text = f"{model.name} calls tools: yes; two at once: {at_once}; answers after a tool: {answers}"
    return ProbeResult(bool(answer), text)


async def _dialogue(model: Model) -> tuple[int, str]:
    """Return the largest number of calls in one reply, and the answer after the last call."""
    tool = ToolSpec("gpio-set", "Set a pin of the board high (1) or low (0).", SET_PIN)
    messages: list[Message] = [UserText("Turn on pin 4 and pin 5.")]
    most_calls = 0
    for _ in range(TRY_REQUESTS):
        request = ModelRequest("You control a board.", tuple(messages), (tool,), max_tokens=TRY_TOKENS)
        reply = await model.respond(request)
        if not reply.calls:
            return most_calls, reply.text.strip()
        most_calls = max(most_calls, len(reply.calls))
        messages.append(AssistantReply(reply.text, reply.calls, provider_parts=reply.provider_parts))
        messages += [ToolReturn(call.call_id, call.name, '{"success": true}') for call in reply.calls]
    return most_calls, ""


async def _ask(
    service: Service, url: str, headers: Mapping[str, str], proxy: str | None, limit_s: float = PROBE_S
) -> ProbeResult:
    import httpx2

    from microclaw.agent.models.bounded_http import bounded_client
    from microclaw.agent.models.provider_errors import shown_address

    try:
        async with bounded_client(proxy=proxy, base_url=url) as client:
            answer = await client.get(url, headers=headers, timeout=limit_s)
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as exc:
        return ProbeResult(None, f"no answer from {shown_address(url)}: {exc or type(exc).__name__}")
    is_ok = answer.status_code == 200
    detail = "without the expected content: is this its address?" if is_ok else ""
    # The answer may be anything, because the address may be of another service.
    with suppress(ValueError, RecursionError, LookupError, TypeError, AttributeError):
        document = json.loads(answer.content)
        if is_ok:
            return ProbeResult(works=True, text=service.read(document))
        detail = document.get("description") or document["error"]["message"]
    text = f"{shown_address(url)} answered {answer.status_code} {detail}".rstrip()
    return _failed(text, is_refusal=answer.status_code in service.refusals)


def _failed(text: str, *, is_refusal: bool) -> ProbeResult:
    """Return the result of a failed test. Only a refusal proves that the key or model does not work."""
    if is_refusal:
        return ProbeResult(works=False, text=text)
    return ProbeResult(works=None, text=text)
