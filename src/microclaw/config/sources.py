"""Where settings come from: config.toml, secrets.toml and the environment, each read and checked for itself."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any, Final

import msgspec

from microclaw.config.checks import is_proxy
from microclaw.config.document import Path, TomlError, dotted, nested, read_document
from microclaw.config.places import text_of
from microclaw.config.schema import Setting, find
from microclaw.config.settings import ConfigFile
from microclaw.config.values import Layer, Mistake, Origin, Reader, plain_value

CONFIG: Final = "config.toml"
SECRETS: Final = "secrets.toml"
MAX_FILE_BYTES: Final = 262_144

PREFIX: Final = "MICROCLAW_"
KNOWN_VARIABLES: Final[Mapping[str, Path]] = {
    "TELEGRAM_BOT_TOKEN": ("telegram", "token"),
    "BRAVE_API_KEY": ("search", "api_key"),
    "MICROCLAW_MODEL": ("model", "name"),
}
"""Names that others use too. The model's keys and addresses are joined in load.py: they also choose the provider."""


@dataclass(frozen=True)
class Sources:
    """From the weakest to the strongest."""

    config: Layer
    secrets: Layer
    environment: Layer

    @property
    def mistakes(self) -> list[Mistake]:
        return [*self.config.mistakes, *self.secrets.mistakes, *self.environment.mistakes]

    @cached_property
    def values(self) -> dict[Path, Any]:
        """Every right value by its path, the strongest one; {} for a table."""
        strong = self.environment.values
        rows = tuple(path[:-1] for path in strong if path and isinstance(path[-1], int))  # they replace the files' rows
        weak = {**self.config.values, **self.secrets.values}
        return {path: value for path, value in weak.items() if path[:-1] not in rows and path[:-2] not in rows} | strong

    @cached_property
    def file(self) -> ConfigFile:
        """The same as one typed value."""
        if not self.values:  # the declaration need not be read
            return ConfigFile()
        root: dict[Any, Any] = {}
        for path, value in self.values.items():  # a table stands before what is in it
            node = root
            for part in path[:-1]:
                node = node[part]
            if path:
                node[path[-1]] = {} if value == {} else value
        if "fallback" in root.get("model", {}):
            root["model"]["fallback"] = [row for _, row in sorted(root["model"]["fallback"].items())]
        return msgspec.convert(root, ConfigFile)

    def place_of(self, path: Path) -> Origin | None:
        """Where the value in force is written, or else the table around it; None where it is not set."""
        layers = (self.environment, self.secrets, self.config)
        return next((layer.places[path] for layer in layers if path in layer.values), None)

    def unset(self, path: Path) -> str | None:
        """The variable that a setting, or one of its items, names and that is not set."""
        found = {**self.config.unset, **self.secrets.unset}
        return next((name for place, name in found.items() if place[: len(path)] == path), None)


def read_sources(home: FilePath, environ: Mapping[str, str], texts: Mapping[str, str] | None = None) -> Sources:
    """`texts` stand for files that shall be written: by their names, what would be in them."""
    texts = texts or {}
    secrets = _file_layer(home / SECRETS, environ, texts.get(SECRETS))
    config = _file_layer(home / CONFIG, environ, texts.get(CONFIG))
    for path in config.values.keys() & secrets.values.keys():
        if config.values[path] != {}:  # it is not clear which one is meant
            text = f"{dotted(path)} is in {SECRETS} too"
            config.mistakes.append(Mistake(*config.places[path], dotted(path), text, "remove one of them"))
    return Sources(config, secrets, _environment_layer(environ))


def _file_layer(path: FilePath, environ: Mapping[str, str], text: str | None) -> Layer:
    """One file, or the `text` that shall become its content; a missing one is empty."""
    secrets = path.name == SECRETS
    exposed, problem = False, None
    if text is None:
        text, exposed, problem = text_of_file(path, closed=secrets)
    reader = Reader(environ, secrets_only=secrets, exposed=str(path) if exposed else "")
    found = reader.layer.mistakes
    try:
        values, lines = read_document(text)
    except TomlError as exc:
        found.append(Mistake(path.name, exc.line, "", exc.message, f"correct line {exc.line} of {path}"))
    else:
        reader.read(values, path.name, lines)
        found.sort(key=lambda mistake: mistake.line or 0)
    if problem is not None:
        found.append(problem)
    return reader.layer


def text_of_file(path: FilePath, *, closed: bool = False) -> tuple[str, bool, Mistake | None]:
    """The file's text, whether others can read it, and what is wrong. A `closed` one must be private."""
    wrong, step = "", f"correct {path}"
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            mode = os.fstat(file.fileno()).st_mode
            exposed = bool(stat.S_IMODE(mode) & 0o077)
            data = file.read(MAX_FILE_BYTES + 1) if stat.S_ISREG(mode) else None
        if data is None:
            wrong = "is not a plain file"
        elif closed and exposed:
            wrong, step = "other users can read it: it is not used", f"chmod 600 {path}"
        elif len(data) > MAX_FILE_BYTES:
            wrong = f"is longer than {MAX_FILE_BYTES >> 10} KiB"
        else:
            return data.decode("utf-8-sig"), exposed, None
    except FileNotFoundError:
        return "", False, None
    except OSError as exc:
        wrong = f"cannot be read: {exc.strerror or exc}"
    except UnicodeDecodeError as exc:
        wrong = f"is not UTF-8 (byte {exc.start + 1})"
    return "", False, Mistake(path.name, None, "", wrong, step)


def _environment_layer(environ: Mapping[str, str]) -> Layer:
    """Variables of other programs' names, then MICROCLAW_<SECTION>__<KEY>, which are stronger."""
    named = {path: (name, value) for path, name, value in _variables(environ)}
    reader = Reader({})
    proxy = next((name for name in ("HTTPS_PROXY", "https_proxy") if text_of(environ, name)), None)
    if proxy is not None and ("proxy", "url") not in named:
        complaint = is_proxy(environ[proxy].strip())
        if complaint is None:
            named["proxy", "url"] = (proxy, _escaped(environ[proxy].strip()))
        else:  # it is meant for every program of this machine: no reason not to start
            step = f"unset {proxy}, or give microclaw its own: microclaw config set proxy.url http://HOST:PORT"
            text = f"{proxy} {complaint}: it is not used"
            reader.layer.mistakes.append(Mistake(proxy, None, "proxy.url", text, step, fatal=False))
    for path, (name, value) in named.items():
        reader.read(nested(path, value), name)
    return reader.layer


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[Path, str, Any]]:
    for name, path in KNOWN_VARIABLES.items():
        if value := text_of(environ, name):
            yield path, name, _escaped(value)
    for name in sorted(environ):
        if name.startswith(PREFIX) and "__" in name and (value := text_of(environ, name)):
            path = tuple(name.removeprefix(PREFIX).lower().split("__"))
            setting = find(path)
            kind = setting.kind if isinstance(setting, Setting) else None
            yield path, name, _escaped(plain_value(kind, value))


def _escaped(value: object) -> object:
    """A variable's text is meant as it is: it refers to no other variable."""
    return value.replace("${", "$${") if isinstance(value, str) else value


def _open_without_waiting(path: str, flags: int) -> int:
    """For `open`: a pipe in the file's place would wait for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
