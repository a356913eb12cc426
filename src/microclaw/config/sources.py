"""Where settings come from: config.toml, secrets.toml and the environment, each read and checked for itself."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from microclaw.config.document import MAX_DEPTH, Document, read_document, shown
from microclaw.config.keys import find_key, is_proxy
from microclaw.config.places import text_of
from microclaw.config.values import Layer, Mistake, Reader, plain_value, toml_value

CONFIG: Final = "config.toml"
SECRETS: Final = "secrets.toml"
MAX_FILE_BYTES: Final = 262_144

PREFIX: Final = "MICROCLAW_"
KNOWN_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "TELEGRAM_BOT_TOKEN": ("telegram", "token"),
    "BRAVE_API_KEY": ("search", "api_key"),
    "MICROCLAW_MODEL": ("model", "name"),
}
"""Names that others use too. The model's keys and addresses are joined in load.py: they also choose the provider."""


@dataclass(frozen=True, slots=True)
class Sources:
    """From the weakest to the strongest; `mistakes` are all of them, in the files' order."""

    config: Layer
    secrets: Layer
    environment: Layer

    @property
    def mistakes(self) -> list[Mistake]:
        return [*self.config.mistakes, *self.secrets.mistakes, *self.environment.mistakes]

    def merged(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for layer in (self.config, self.secrets, self.environment):
            _merge(values, layer.values, rows=layer is self.secrets)
        return values

    def origin(self, path: tuple[str | int, ...]) -> tuple[str, int | None] | None:
        """Where the value of a key comes from; None where nobody set it."""
        for layer in (self.environment, self.secrets, self.config):
            if value_at(layer.values, path) is not None:
                return layer.place_of(path)
        return None

    def unset(self, key: str) -> str | None:
        """The variable that this key names and that is not set."""
        return self.config.unset.get(key) or self.secrets.unset.get(key)


def value_at(values: object, path: tuple[str | int, ...]) -> Any:
    """The value of a path; None where there is none."""
    for part in path:
        if isinstance(part, int):
            values = values[part] if isinstance(values, list | tuple) and part < len(values) else None
        else:
            values = values.get(part) if isinstance(values, Mapping) else None
    return values


def read_sources(home: Path, environ: Mapping[str, str], texts: Mapping[str, str] | None = None) -> Sources:
    """`texts` stand for files that shall be written: by their names, what would be in them."""
    texts = texts or {}
    secrets = file_layer(home / SECRETS, environ, secrets=True, text=texts.get(SECRETS))
    config = file_layer(home / CONFIG, environ, text=texts.get(CONFIG))
    _find_doubles(config, secrets)
    return Sources(config, secrets, environment_layer(environ))


def file_layer(path: Path, environ: Mapping[str, str], *, secrets: bool = False, text: str | None = None) -> Layer:
    """One file, or the `text` that shall become its content; a missing one is empty."""
    layer = Layer()
    document = read_document((_text_of_file(path, layer, closed=secrets) if text is None else text) or "")
    layer.place_of = lambda place: (path.name, document.line_of(place))
    for line, message in document.errors:
        layer.mistakes.append(Mistake(path.name, line, "", message, f"correct line {line} of {path}"))
    Reader(layer, environ, secrets_only=secrets).read(document.values)
    if not secrets and text is None:
        _check_mode(path, layer, document)
    layer.mistakes.sort(key=lambda mistake: mistake.line or 0)
    return layer


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Variables of other programs' names, then MICROCLAW_<SECTION>__<KEY>, which are stronger."""
    layer = Layer()
    raw: dict[str, Any] = {}
    names: dict[tuple[str, ...], str] = {}
    for name, path, value in _variables(environ):
        _put(raw, path, value)
        names[path] = name
    proxy = next((n for n in ("HTTPS_PROXY", "https_proxy") if text_of(environ, n)), None)
    if proxy is not None and ("proxy", "url") not in names:
        _take_proxy(layer, raw, names, proxy, environ[proxy].strip())
    layer.place_of = lambda path: (next((n for p, n in names.items() if p[: len(path)] == path[: len(p)]), ""), None)
    Reader(layer, {}).read(raw)
    return layer


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...], object]]:
    for name, path in KNOWN_VARIABLES.items():
        if value := text_of(environ, name):
            yield name, path, _plain(value)
    for name in sorted(environ):
        if name.startswith(PREFIX) and "__" in name and (value := text_of(environ, name)):
            path = tuple(part for part in name.removeprefix(PREFIX).lower().split("__"))
            key = find_key(path)
            yield name, path, _plain(toml_value(value) if key is None else plain_value(key.kind, value))


def _plain(value: object) -> object:
    """A variable's text is meant as it is: it refers to no other variable."""
    return value.replace("${", "$${") if isinstance(value, str) else value


def _take_proxy(layer: Layer, raw: dict[str, Any], names: dict[tuple[str, ...], str], name: str, value: str) -> None:
    """A proxy that every program of this machine is told of; one that we cannot speak to is no reason not to start."""
    complaint = is_proxy(value)
    if complaint is None:
        _put(raw, ("proxy", "url"), value)
        names["proxy", "url"] = name
        return
    step = f"unset {name}, or give microclaw its own: microclaw config set proxy.url http://HOST:PORT"
    layer.mistakes.append(Mistake(name, None, "proxy.url", f"{name} {complaint}: it is not used", step, fatal=False))


def _put(raw: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        below = raw.setdefault(name, {})
        if not isinstance(below, dict):
            below = raw[name] = {}
        raw = below
    raw[path[-1]] = value


def _merge(into: dict[str, Any], values: Mapping[str, Any], *, rows: bool) -> None:
    """`rows`: the tables of an array are merged one by one, so that each row's secret can be in the other file."""
    for name, value in values.items():
        if isinstance(value, dict):
            _merge(into.setdefault(name, {}), value, rows=rows)
        elif isinstance(value, list) and rows and name in into:
            for row, more in zip(into[name], value, strict=False):
                _merge(row, more, rows=rows)
        elif isinstance(value, list):
            into[name] = [dict(row) for row in value]
        else:
            into[name] = value


def _text_of_file(path: Path, layer: Layer, *, closed: bool) -> str | None:
    """The file's text. One of secrets that others can read is not read at all."""
    wrong, step = "", f"correct {path}"
    try:
        with path.open("rb") as file:
            if closed and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                wrong, step = "other users can read it: it is not used", f"chmod 600 {path}"
            else:
                data = file.read(MAX_FILE_BYTES + 1)
                if len(data) <= MAX_FILE_BYTES:
                    return data.decode("utf-8-sig")
                wrong = f"is longer than {MAX_FILE_BYTES >> 10} KiB"
    except FileNotFoundError:
        return None
    except OSError as exc:
        wrong = f"cannot be read: {exc.strerror or exc}"
    except UnicodeDecodeError as exc:
        wrong = f"is not UTF-8 (byte {exc.start + 1})"
    layer.mistakes.append(Mistake(path.name, None, "", wrong, step))
    return None


def _check_mode(path: Path, layer: Layer, document: Document) -> None:
    """A secret that stands in config.toml itself must not be readable by others."""
    plain = next((key for key in _plain_secrets(document.values)), None)
    if plain is None or not path.exists() or not stat.S_IMODE(path.stat().st_mode) & 0o077:
        return
    line = document.line_of(plain)
    text = f"{shown(plain)} is a secret, and other users can read this file"
    layer.mistakes.append(Mistake(path.name, line, shown(plain), text, f"chmod 600 {path}"))


def _plain_secrets(values: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if len(path) > MAX_DEPTH:
        return
    key = find_key(tuple(part for part in path if isinstance(part, str)))
    if key is not None and key.secret:
        texts = list(values.values()) if isinstance(values, dict) else [values]
        if any(isinstance(text, str) and "${" not in text for text in texts):
            yield path
    elif isinstance(values, dict):
        for name, value in values.items():
            yield from _plain_secrets(value, (*path, name))
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from _plain_secrets(value, (*path, number))


def _find_doubles(config: Layer, secrets: Layer) -> None:
    """A secret in both files: nobody could say which one is meant."""

    def walk(one: Mapping[str, Any], other: Mapping[str, Any], path: tuple[str | int, ...]) -> None:
        for name in one.keys() & other.keys():
            place = (*path, name)
            if isinstance(one[name], dict) and isinstance(other[name], dict):
                walk(one[name], other[name], place)
                continue
            if isinstance(one[name], list):
                for number, (row, more) in enumerate(zip(one[name], other[name], strict=False)):
                    walk(row, more, (*place, number))
                continue
            file, line = config.place_of(place)
            text = f"{shown(place)} is in {SECRETS} too"
            config.mistakes.append(Mistake(file, line, shown(place), text, "remove one of them"))

    walk(config.values, secrets.values, ())
