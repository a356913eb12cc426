"""What the commands of `microclaw catalog` share: the catalogues, an entry's values, its program for the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from microclaw.apps.building import program_language
from microclaw.cli.known_devices import known_devices
from microclaw.cli.options import GlobalOptions
from microclaw.client import Client
from microclaw.devices.calls import AppInstall
from microclaw.devices.selection import names_text
from microclaw.errors import ConfigError
from microclaw.events import ProgramKind
from microclaw.patterns.catalog import LANGUAGES, SHIPPED, Catalog, Entry
from microclaw.patterns.expected import Value
from microclaw.patterns.library import Parameter


def catalog_of(options: GlobalOptions, only: str | None) -> Catalog:
    """The catalogues of the settings beside the shipped one, or one alone. Raises ConfigError."""
    if only is not None:
        return Catalog(only=only if only == SHIPPED else str(Path(only).expanduser().absolute()))
    return Catalog([Path(one).expanduser() for one in options.settings().catalog.folders])


def show_mistakes(options: GlobalOptions, catalog: Catalog) -> None:
    """The entries and folders that cannot be read, a line each."""
    for mistake in catalog.mistakes:
        options.say(f"careful: {mistake.message}")


def chosen_values(entry: Entry, words: Sequence[str]) -> dict[str, Value]:
    """The values of `--set pin=4`. Raises ConfigError; what a value may be is checked when it is put in."""
    values: dict[str, Value] = {}
    for word in words:
        key, is_set, text = word.partition("=")
        parameter = entry.parameters.get(key.strip().upper())
        if not is_set or parameter is None:
            known = ", ".join(one.lower() for one in entry.parameters) or "none"
            raise ConfigError(f"{word[:60]!r} sets no parameter of {entry.name}", next_step=f"its parameters: {known}")
        if parameter.name in values:
            raise ConfigError(f"{parameter.name.lower()} is set twice", next_step="leave one of them out")
        values[parameter.name] = text.strip() if parameter.choices else _whole(parameter, text.strip())
    return values


def kind_for(entry: Entry, host: Client, names: Sequence[str], wanted: ProgramKind | None) -> ProgramKind:
    """The language that all of these devices take, the entry's preferred one first. Raises ConfigError."""
    rows = [one for one in known_devices(host) if {one.name, one.device_id} & set(names)]
    taking = [one for one in rows if AppInstall.method in one.capabilities]
    for kind in entry.kinds if wanted is None else (wanted,):
        if all(kind in one.kinds for one in taking):
            return kind
    if wanted is not None:
        not_one = names_text([one.name for one in taking if wanted not in one.kinds])
        raise ConfigError(f"{not_one} takes no programs in {LANGUAGES[wanted]}", next_step="leave --in out")
    if len(entry.kinds) == 1:
        not_one = names_text([one.name for one in taking if entry.kinds[0] not in one.kinds])
        text = f"{entry.name} is in {languages(entry)} alone, which {not_one} does not take: {entry.missing}"
        raise ConfigError(text, next_step="microclaw catalog search")
    in_c = names_text([one.name for one in taking if "wasm" in one.kinds])
    raise ConfigError(
        f"these boards have no language in common: {in_c} take C, the others Python",
        next_step="install it in two steps, with -d for each board",
    )


def entry_body(options: GlobalOptions, entry: Entry, params: Mapping[str, Value], kind: ProgramKind) -> dict[str, Any]:
    """The program of an entry as the host takes it."""
    # What another machine's host builds is not known here: the form that needs least.
    program = entry.fill(params, kind, blocking=None if options.address() is None else False)
    body = {
        "source": program.source,
        "language": program_language(program.file),
        "origin": {
            "entry": entry.name,
            "version": entry.version_text,
            "catalog": entry.folder,
            "params": dict(params),
        },
    }
    return {**body, "expect": program.expect} if program.expect else body


def languages(entry: Entry) -> str:
    return ", ".join(LANGUAGES[kind] for kind in entry.kinds)


def _whole(parameter: Parameter, text: str) -> int:
    try:
        return int(text[:20], 0)
    except ValueError as exc:
        example = f"{parameter.name.lower()}={parameter.default}"
        raise ConfigError(f"{text[:40]!r} is no whole number", next_step=f"write --set {example}") from exc
