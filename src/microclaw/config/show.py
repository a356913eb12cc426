"""Settings as a person may see them: where each value comes from, defaults, secrets masked. It changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from microclaw.config.document import shown
from microclaw.config.keys import ROOT, Key, Named, Node, Rows, Section
from microclaw.config.load import VARIABLES, join
from microclaw.config.places import text_of
from microclaw.config.settings import (
    AgentSettings,
    BudgetSettings,
    GatewaySettings,
    HostSettings,
    Limits,
    ModelSettings,
    ScheduleSettings,
    SearchSettings,
    TelegramSettings,
)
from microclaw.config.sources import Sources, read_sources, value_at
from microclaw.config.values import without_password

DEFAULT: Final = "default"
_DEFAULTS: Final[Mapping[str, type]] = {
    "host": HostSettings,
    "model": ModelSettings,
    "agent": AgentSettings,
    "budget": BudgetSettings,
    "telegram": TelegramSettings,
    "gateway": GatewaySettings,
    "search": SearchSettings,
    "schedules": ScheduleSettings,
    "limits": Limits,
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting: `value` is masked for a secret, None when it has neither value nor default."""

    key: str
    value: object
    origin: str
    about: str


def read_shown(home: Path, environ: Mapping[str, str]) -> list[Shown]:
    """Every setting that is set or has a default, in the order of keys.py."""
    sources = read_sources(home, environ)
    return [_credential(item, sources, environ) for item in _walk(ROOT, (), sources, sources.merged())]


def masked(secret: str) -> str:
    """Enough of a key to tell it from another, not enough to use it."""
    return f"{secret[:7]}...({len(secret)} characters)" if len(secret) > 20 else "...(short)"


def value_text(value: object) -> str:
    """A value as `config set` takes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case tuple() | list():
            import shlex

            return shlex.join(str(item) for item in value)
        case dict():
            return ", ".join(f"{name} = {item}" for name, item in value.items())
        case _:
            return str(value)


def _walk(node: Node, path: tuple[str | int, ...], sources: Sources, values: Mapping[str, Any]) -> Iterator[Shown]:
    match node:
        case Key():
            yield from _key(node, path, sources, values)
        case Section(keys):
            for name, inner in keys.items():
                yield from _walk(inner, (*path, name), sources, values)
        case Named(section):
            for name in value_at(values, path) or ():
                yield from _walk(section, (*path, name), sources, values)
        case Rows(section):
            for number in range(len(value_at(values, path) or ())):
                yield from _walk(section, (*path, number), sources, values)


def _key(key: Key, path: tuple[str | int, ...], sources: Sources, values: Mapping[str, Any]) -> Iterator[Shown]:
    value = value_at(values, path)
    origin = sources.origin(path)
    if value is not None and origin is not None:
        place, line = origin
        told = place if line is None else f"{place}:{line}"
        yield Shown(shown(path), _hidden(value) if key.secret else _plain(value), told, key.about)
    elif (default := _default(path)) is not None:
        yield Shown(shown(path), default, DEFAULT, key.about)
    else:
        yield Shown(shown(path), None, "", key.about)


def _credential(item: Shown, sources: Sources, environ: Mapping[str, str]) -> Shown:
    """The model's key and address as the loader takes them: a provider's own variables are no keys of the file."""
    if item.key not in ("model.api_key", "model.base_url"):
        return item
    model = join(sources, environ).model
    provider = value_at(sources.merged(), ("model", "provider"))
    for name, key, url in (
        ("anthropic", model.anthropic_api_key, model.anthropic_base_url),
        ("openai", model.openai_api_key, model.openai_base_url),
    ):
        used = key if item.key == "model.api_key" else url
        variable = VARIABLES[name][item.key == "model.base_url"]
        if used and provider in (None, name) and used == text_of(environ, variable):
            shown_value = masked(used) if item.key == "model.api_key" else _plain(used)
            return Shown(item.key, shown_value, variable, item.about)
    return item


def _hidden(value: object) -> object:
    if isinstance(value, dict):
        return {name: masked(str(text)) for name, text in value.items()}
    return masked(str(value))


def _plain(value: object) -> object:
    """What is no secret; an address may have a password in it all the same."""
    return without_password(value) if isinstance(value, str) else value


def _default(path: tuple[str | int, ...]) -> object:
    kind = _DEFAULTS.get(str(path[0])) if len(path) == 2 else None
    if kind is None:
        return None
    found = next((f for f in dataclasses.fields(kind) if f.name == path[1]), None)
    return None if found is None or found.default is dataclasses.MISSING else found.default
