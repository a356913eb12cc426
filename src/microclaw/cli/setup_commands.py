"""`microclaw setup`: asks the few questions, tests each key at its service, writes the settings. No host has to run."""

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

from microclaw.cli.options import GlobalOptions, command, needs_terminal
from microclaw.config.edit import write_changes
from microclaw.config.forms import Url, form_of
from microclaw.config.load import VARIABLES, private_home
from microclaw.config.settings import ModelChoice, Provider
from microclaw.config.show import DEFAULT, read_views
from microclaw.config.sources import Sources
from microclaw.errors import ModelError
from microclaw.models.protocol import AssistantReply, Message, Model, ModelRequest, ToolReturn, ToolSpec, UserText
from microclaw.text import clean_text, count_text

TRIES: Final = 3
LOCAL_MODELS: Final = (  # each server's own port for OpenAI's clients; llama.cpp's beside this host is 8081
    "http://localhost:11434/v1",  # Ollama
    "http://localhost:1234/v1",  # LM Studio
    "http://localhost:8080/v1",
    "http://localhost:8081/v1",
)
PROVIDERS: Final[Mapping[str, Provider]] = {
    "anthropic": "anthropic",
    "openai": "openai",
    "google": "google",
    "compatible": "openai",
}
"""By the answer of the person."""
MODEL: Final = ("model.provider", "model.name", "model.base_url", "model.api_key")
PROBE_S: Final = 15.0
LOCAL_PROBE_S: Final = 2.0
TRY_S: Final = 120.0  # of a model, which its server may have to load first
TRY_REQUESTS: Final = 4
TRY_TOKENS: Final = 4096  # of an answer, with thoughts
SET_PIN: Final = """{"type": "object", "required": ["pin", "level"], "properties": {"pin": {"type": "integer"},
"level": {"type": "integer", "enum": [0, 1]}}}"""
# Keys besides a model's: the setting, the service, where a key comes from.
KEYS: Final = (
    ("telegram.token", "Telegram", "@BotFather gives a bot and its token."),
    ("search.api_key", "web search", "Brave Search gives a key."),
)
Changes: TypeAlias = dict[str, str | None]
Values: TypeAlias = Mapping[str, str]
"""Settings as they are, by their names: `shown` as `config get` does, or their plain values."""


@command()
def setup(options: GlobalOptions) -> None:
    """Set up models, Telegram and search.

    A few questions; each key is tested. Enter skips one, Ctrl-C changes nothing. Without a terminal: config set.
    """
    home = private_home(os.environ, options.home)
    options.settings()  # refuses files that are wrong already, before any question
    needs_terminal("the questions of setup", "microclaw config set KEY VALUE, or @FILE")
    written, _ = write_changes(home, os.environ, ask_all(options, home))
    names = ", ".join(str(home / name) for name in written)
    options.report("setup", {"files": written}, f"written: {names}" if written else "nothing changed")
    options.say("next: microclaw up --virtual 1, then microclaw chat; at each login: microclaw up --service install")


def ask_all(options: GlobalOptions, home: Path) -> Changes:
    """Every question, each with its default."""
    views = [one for one in read_views(home, os.environ) if one.value is not None and one.origin not in ("", DEFAULT)]
    shown = {one.key: f"{one.value} ({one.origin})" for one in views}
    sources = Sources(home, os.environ).values
    values = {".".join(path): value for path, value in sources.items() if isinstance(value, str)}
    for provider, (_, address) in VARIABLES.items():
        values[f"address.{provider}"] = os.environ.get(address, "").strip()
    options.say("Enter keeps what is set, takes what is found or skips the question; Ctrl-C changes nothing.")
    changes = _ask_model(options, shown=shown, values=values)
    for setting, name, hint in KEYS:
        options.say(f"{name}: {shown.get(setting, hint)}")
        key = _ask_key(options, f"The key of {name}", partial(_probe, values, setting))
        if key is not None:
            changes[setting] = key
    return changes


def _ask_model(options: GlobalOptions, *, shown: Values, values: Values) -> Changes:
    provider_now = values.get("model.provider")
    now = shown.get("model.api_key") or shown.get("model.base_url")
    if now:
        options.say(f"model: {provider_now}, {now}")
    if provider_now:
        local = None
    else:
        local = asyncio.run(_local_model())
    if local is not None:
        options.say(f"a model server runs here: {local}")
    choices = [*PROVIDERS, "none"]
    if provider_now:
        choices.append("keep")
    if provider_now:
        before = "keep"
    elif local:
        before = "compatible"
    else:
        before = "none"
    choice = click.prompt("Which models answer?", default=before, type=click.Choice(choices))
    if choice == "none":
        options.say("Without a model the offline intents answer.")
        if provider_now:
            return dict.fromkeys(MODEL)
        return {}
    if choice == "keep":
        key = values.get("model.api_key")
        url = values.get("model.base_url")
        options.say(f"  {_probe(values, provider_now or '', key, url).line}")
        current = options.settings().model.main
        if current is not None:
            options.say(f"  {_try(options, values, current).line}")
        return {}
    provider = PROVIDERS[choice]
    if choice == "compatible":
        url, key = _ask_address(options, values, local)
    else:
        url = None
        key = _ask_key(options, "The key", partial(_probe, values, provider))
    if key is None:
        return {}
    key = key or None
    for _ in range(TRIES):
        name = click.prompt("The model's name (empty: the default)", default="", show_default=False).strip() or None
        new = ModelChoice(provider, name, key, url or values.get(f"address.{provider}") or None)
        if not _is_kept(options, _try(options, values, new)):
            continue
        return dict(zip(MODEL, (provider, name, url, key), strict=True))
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
    def read(text: str) -> str:
        if not form_of(Url).has(text.strip()):
            raise click.UsageError(f"{text} is not {form_of(Url).words}")
        return text.strip()

    before = values.get("model.base_url") or local or LOCAL_MODELS[0]
    url: str = click.prompt("Its address", default=before, value_proc=read)
    return url


def _ask_key(
    options: GlobalOptions, text: str, probe: Callable[[str], ProbeResult], optional: bool = False
) -> str | None:
    """Return a key that its service accepted, or that the person keeps anyway: "" if it needs none, None if skipped."""
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


def _is_kept(options: GlobalOptions, found: ProbeResult) -> bool:
    options.say(f"  {found.line}")
    return bool(found.works) or click.confirm("Keep it all the same?", default=found.works is None)


class ProbeResult(Struct, frozen=True):
    """`works` is None when the service did not answer."""

    works: bool | None
    text: str

    @property
    def line(self) -> str:
        return f"{ {True: 'it works', False: 'it does not work', None: 'not tested'}[self.works] }: {self.text}"


class Service(Struct, frozen=True):
    """A service that takes a key (`{}`): the setting of its address, else that; a request that costs nothing and needs
    the key. `read` is what its right answer says.
    """

    setting: str
    address: str
    path: str
    read: Callable[[Any], str]
    headers: Mapping[str, str] = {}
    refusals: Collection[int] = (401, 403)


def _models(found: Any) -> str:
    return _counted_names([row["id"] for row in found["data"] if isinstance(row.get("id"), str)])


def _google_models(found: Any) -> str:
    return _counted_names([row["name"].removeprefix("models/") for row in found["models"]])


def _counted_names(names: Sequence[str]) -> str:
    return f"{count_text(len(names), 'model')}, such as {names[0][:60]}"


SERVICES: Final = {
    "anthropic": Service(
        "address.anthropic", "https://api.anthropic.com", "/v1/models", _models,
        {"x-api-key": "{}", "anthropic-version": "2023-06-01"},  # docs.claude.com: every request carries it
    ),
    "openai": Service(
        "address.openai", "https://api.openai.com/v1", "/models", _models,
        {"Authorization": "Bearer {}"}, (401, 403, 404),
    ),
    "google": Service(
        "address.google", "https://generativelanguage.googleapis.com", "/v1beta/models", _google_models,
        {"x-goog-api-key": "{}"}, (400, 401, 403),  # a wrong key is a 400 there
    ),
    "telegram.token": Service(
        "telegram.base_url", "https://api.telegram.org", "/bot{}/getMe",
        lambda found: f"it is the bot @{found['result']['username']}", refusals=(401, 404),
    ),
    "search.api_key": Service(
        "search.base_url", "https://api.search.brave.com", "/res/v1/web/search?q=ESP32&count=1",
        lambda found: f"it found {count_text(len(found.get('web', {}).get('results', ())), 'page')}",
        {"X-Subscription-Token": "{}"}, (401, 403, 422),
    ),
}  # fmt: skip


def _probe(values: Values, name: str, key: str | None, url: str | None = None) -> ProbeResult:
    one = SERVICES[name]
    in_path = quote(key or "", safe=":")
    url = (url or values.get(one.setting) or one.address).rstrip("/") + one.path.format(in_path)
    if key:
        headers = {header: text.format(key) for header, text in one.headers.items()}
    else:
        headers = {}
    found = asyncio.run(_ask(one, url, headers, values.get("proxy.url")))
    text = found.text  # a server may say the key back, an address may have it
    for said in filter(None, (key, in_path)):
        text = text.replace(said, "...")
    return ProbeResult(found.works, clean_text(text, one_line=True, limit=200))


async def _local_model() -> str | None:
    """The address of a model server on this machine: the first of LOCAL_MODELS that lists its models to anybody."""
    one = SERVICES["openai"]
    found = await asyncio.gather(*(_ask(one, f"{url}{one.path}", {}, None, LOCAL_PROBE_S) for url in LOCAL_MODELS))
    return next((url for url, one in zip(LOCAL_MODELS, found, strict=True) if one.works), None)


def _try(options: GlobalOptions, values: Values, choice: ModelChoice) -> ProbeResult:
    """Ask the model for two acts of a board; nothing is done."""
    from microclaw.models.router import provider_model

    options.say(f"  trying what the model can (up to {TRY_S:.0f} s) ...")
    return asyncio.run(_try_model(provider_model(choice, values.get("proxy.url"), TRY_S)))


async def _try_model(model: Model) -> ProbeResult:
    """Report whether it calls tools, two at once, and answers after them. `works` is None if it could not be asked."""
    try:
        async with asyncio.timeout(TRY_S):
            most_calls, answer = await _dialogue(model)
    except TimeoutError:
        return ProbeResult(None, f"{model.name} came to no end within {TRY_S:.0f} s")
    except ModelError as exc:
        works = False if exc.fault in ("refused", "auth", "quota") else None
        return ProbeResult(works, exc.message)
    finally:
        await model.aclose()
    if most_calls == 0:
        return ProbeResult(False, f"{model.name} does not call tools: only questions will work (docs/models.md)")
    at_once = "yes" if most_calls > 1 else "no, one after the other"
    answers = "yes" if answer else "no"
    return ProbeResult(
        bool(answer), f"{model.name} calls tools: yes; two at once: {at_once}; answers after a tool: {answers}"
    )


async def _dialogue(model: Model) -> tuple[int, str]:
    """Return how many calls of one reply it made at most, and its answer after the last one."""
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
    one: Service, url: str, headers: Mapping[str, str], proxy: str | None, limit_s: float = PROBE_S
) -> ProbeResult:
    import httpx2

    from microclaw.models.bounded_http import bounded_client
    from microclaw.models.provider_errors import shown_address

    try:
        async with bounded_client(proxy=proxy, base_url=url) as client:
            answer = await client.get(url, headers=headers, timeout=limit_s)
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as exc:
        return ProbeResult(None, f"no answer from {shown_address(url)}: {exc or type(exc).__name__}")
    told = "without what it should have: is this its address?" if answer.status_code == 200 else ""
    with suppress(ValueError, RecursionError, LookupError, TypeError, AttributeError):
        found = json.loads(answer.content)
        if answer.status_code == 200:
            return ProbeResult(True, one.read(found))
        told = found.get("description") or found["error"]["message"]
    works = False if answer.status_code in one.refusals else None
    return ProbeResult(works, f"{shown_address(url)} answered {answer.status_code} {told}".rstrip())
