"""`microclaw setup`: asks the few questions, tests each key at its service, writes the settings. `config`: reads and
changes them. No host has to run.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import click
from click.exceptions import Exit
from msgspec import Struct, to_builtins

from microclaw.cli.options import FAILED, GlobalOptions, command, needs_terminal, secret_value
from microclaw.config.edit import read_key, write_changes
from microclaw.config.forms import Url, form_of
from microclaw.config.load import VARIABLES, Assembly, private_home
from microclaw.config.show import DEFAULT, read_views, value_text
from microclaw.config.sources import Sources
from microclaw.errors import ConfigError, MicroclawError
from microclaw.text import clean_text, count_text

TRIES: Final = 3
LOCAL_MODELS: Final = (  # each server's own port for OpenAI's clients; llama.cpp's beside this host is 8081
    "http://localhost:11434/v1",  # Ollama
    "http://localhost:1234/v1",  # LM Studio
    "http://localhost:8080/v1",
    "http://localhost:8081/v1",
)
PROVIDERS: Final = ("anthropic", "openai", "compatible", "none")
MODEL: Final = ("model.provider", "model.name", "model.base_url", "model.api_key")
PROBE_S: Final = 15.0
LOCAL_PROBE_S: Final = 2.0
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
    options.report("setup", {"files": list(written)}, f"written: {names}" if written else "nothing changed")
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
    changes = _ask_model(options, shown, values)
    for setting, name, hint in KEYS:
        options.say(f"{name}: {shown.get(setting, hint)}")
        key = _ask_key(options, f"The key of {name}", partial(_probe, values, setting))
        if key is not None:
            changes[setting] = key
    return changes


def _ask_model(options: GlobalOptions, shown: Values, values: Values) -> Changes:
    provider_now = values.get("model.provider")
    if now := shown.get("model.api_key") or shown.get("model.base_url"):
        options.say(f"model: {provider_now}, {now}")
    local = None if provider_now else asyncio.run(_local_model())
    if local is not None:
        options.say(f"a model server runs here: {local}")
    choices = (*PROVIDERS, "keep") if provider_now else PROVIDERS
    before = "keep" if provider_now else "compatible" if local else "none"
    choice = click.prompt("Which models answer?", default=before, type=click.Choice(choices))
    if choice == "none":
        options.say("Without a model the offline intents answer.")
        return dict.fromkeys(MODEL) if provider_now else {}
    if choice == "keep":
        key, url = values.get("model.api_key"), values.get("model.base_url")
        options.say(f"  {_probe(values, provider_now or '', key, url).line}")
        return {}
    provider = "anthropic" if choice == "anthropic" else "openai"
    url = _ask_url(values, local) if choice == "compatible" else None
    prompt = "The key" if url is None else "The key, if it needs one"
    key = _ask_key(options, prompt, lambda text: _probe(values, provider, text, url), url is not None)
    if key is None and url is None:
        return {}
    for _ in range(TRIES):
        name = click.prompt("The model's name (empty: the default)", default="", show_default=False).strip() or None
        if url is not None:
            options.say('  trying "turn on pin 4" ...')
            if not _is_kept(options, asyncio.run(_try_sentence(values, url, key, name))):
                continue
        return dict(zip(MODEL, (provider, name, url, key), strict=True))
    options.say("Skipped.")
    return {}


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
    """A key that its service accepted, or that the person keeps anyway; None when skipped."""
    for _ in range(TRIES):
        prompt = f"{text} (not shown; Enter skips)"
        key: str = click.prompt(prompt, default="", hide_input=True, show_default=False).strip()
        if not key and not optional:
            return None
        if _is_kept(options, probe(key)):
            return key or None
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
    names = [row["id"] for row in found["data"] if isinstance(row.get("id"), str)]
    return f"{count_text(len(names), 'model')}, such as {names[0][:60]}"


SERVICES: Final = {
    "anthropic": Service(
        "address.anthropic", "https://api.anthropic.com", "/v1/models", _models,
        {"x-api-key": "{}", "anthropic-version": "2023-06-01"},  # docs.claude.com: every request carries it
    ),
    "openai": Service(
        "address.openai", "https://api.openai.com/v1", "/models", _models, {"Authorization": "Bearer {}"}
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
    one, in_path = SERVICES[name], quote(key or "", safe=":")
    url = (url or values.get(one.setting) or one.address).rstrip("/") + one.path.format(in_path)
    headers = {header: text.format(key) for header, text in one.headers.items()} if key else {}
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


async def _try_sentence(values: Values, url: str, key: str | None, name: str | None) -> ProbeResult:
    """Ask the model for an act; a call of the tool is right. Nothing is done."""
    from microclaw.models.protocol import ModelRequest, ToolSpec, UserText
    from microclaw.models.providers import OpenAIProviderModel

    model = OpenAIProviderModel(name, api_key=key, base_url=url, proxy=values.get("proxy.url"))
    tool = ToolSpec("gpio-set", "Set a pin of the board high (1) or low (0).", SET_PIN)
    try:
        reply = await model.respond(ModelRequest("You control a board.", (UserText("turn on pin 4"),), (tool,)))
    except MicroclawError as exc:
        return ProbeResult(None, exc.message)
    finally:
        await model.aclose()
    for call in reply.calls:
        return ProbeResult(True, clean_text(f"it called {call.name} {call.arguments}", one_line=True, limit=120))
    return ProbeResult(False, "it called no tool: it can talk, and do nothing on a board (docs/models.md)")


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


config_group = click.Group(no_args_is_help=True)


@command(config_group, "get")
@click.argument("key", required=False, metavar="[KEY]", help="One setting; all that are set without it.")
@click.option("--all", "everything", is_flag=True, help="Defaults and what is not set, too.")
def get(options: GlobalOptions, key: str | None, everything: bool) -> None:
    """Show settings and where each comes from; secrets are masked."""
    found = read_views(private_home(os.environ, options.home), os.environ)
    if key is not None:
        read_key(key)
        found = [item for item in found if item.key == key and item.value is not None]
        if not found:
            raise ConfigError(f"{key} is not set", next_step=f"microclaw config set {key} VALUE")
    elif not everything:
        found = [item for item in found if item.origin not in ("", DEFAULT)]
    if options.json:
        items = [{"key": i.key, "value": i.value, "from": i.origin or None, "about": i.about} for i in found]
        options.document("config", {"settings": items})
    elif key is not None:
        options.line(value_text(found[0].value))
    else:
        rows = [(i.key, "" if i.value is None else value_text(i.value), i.origin or "not set") for i in found]
        none = "all settings are defaults (microclaw config get --all)"
        options.table(rows, head=("SETTING", "VALUE", "FROM"), empty=none)


@command(config_group, "set")
@click.argument("key", help="Such as agent.turn_s or telegram.token.")
@click.argument("value", required=False, metavar="[VALUE]", help="-: stdin. A secret: @FILE, or asked for without it.")
@click.option("--default", is_flag=True, help="Remove it: its default holds again.")
def set_value(options: GlobalOptions, key: str, value: str | None, default: bool) -> None:
    """Change one setting; comments stay. Secrets go to secrets.toml, or write '${ENV}' for a variable's value."""
    _, known = read_key(key)
    if default:
        value = None
    elif known.secret and (value is not None or sys.stdin.isatty()):
        if value is None or value == "-" or value.startswith("@"):
            value = secret_value(key, value or "-").strip()
        elif value and "${" not in value:  # a variable's name is no secret
            text = f"warning: a value of {key} on the command line can be seen by other accounts of this machine (ps)"
            sys.stderr.write(f"{text} and stays in the shell's history: {key} @FILE, or {key} - for stdin\n")
    elif value == "-":
        value = sys.stdin.readline().strip()
    elif value is None:
        raise click.BadParameter(f"{key} needs a value")
    files, warnings = write_changes(private_home(os.environ, options.home), os.environ, {key: value})
    options.end_with_json("config_written", {"files": files, "warnings": to_builtins(warnings)})
    done = f"{key} is {'set' if value is not None else 'not set any more'} ({', '.join(files)})"
    options.say(f"{done}; the host reads it when it starts" if files else "nothing changed")
    for mistake in warnings:
        step = "" if "(next: " in mistake.message else f" (next: {mistake.next_step})"
        sys.stderr.write(f"note: {mistake.message}{step}\n")


@command(config_group, "check")
def check(options: GlobalOptions) -> None:
    """Name every mistake in the files and the environment with its line; exit 1 when there is one."""
    home = private_home(os.environ, options.home)
    assembly, path = Assembly(home, os.environ), home / "config.toml"
    mistakes, problems = assembly.mistakes, assembly.problems
    value = {"ok": not mistakes, "file": str(path), "mistakes": to_builtins(mistakes), "off": problems}
    if not options.wrote_json("config_check", value):
        for mistake in mistakes:
            options.line(f"{mistake}\n  next: {mistake.next_step}")
        is_right = "nothing wrong" if path.exists() else "not there, all settings are defaults"
        options.say(f"{path}: {'has mistakes' if mistakes else is_right}")
        for problem in problems:
            options.say(f"note: {problem}")
    if mistakes:
        raise Exit(FAILED)
