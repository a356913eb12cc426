"""Settings as a person may see them: where each value comes from, defaults, secrets masked. It changes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Final

from microclaw.host.config.load import Assembly
from microclaw.host.config.schema import Node, Path, all_settings, dotted, without_password
from microclaw.host.config.settings import Settings

DEFAULT: Final = "default"
# `task secrets` promises that these are never shown again.
TASK_SECRETS: Final = ("secrets", "values")
SET: Final = "(set)"
MAX_PASSWORD_CHARS: Final = 4096


@dataclass(frozen=True, slots=True)
class SettingView:
    """One setting: `value` is masked for a secret, None when it has neither value nor default."""

    key: str
    value: object
    origin: str
    about: str


def read_views(home: FilePath, environ: Mapping[str, str]) -> list[SettingView]:
    """Every setting that is set or may be, in the order of settings.py."""
    assembly = Assembly(home, environ)

    def names_in(section: Path) -> list[str]:
        return [path[-1] for path in assembly.sources.values if path and path[:-1] == section]

    return [_view(node, path, assembly) for path, node in all_settings(names_in)]


def masked(secret: str) -> str:
    """Enough of a key to tell it from another, not enough to use it."""
    if len(secret) > 20:
        return f"{secret[:7]}...({len(secret)} characters)"
    return "...(short)"


def secret_texts(settings: Settings) -> set[str]:
    """Return every secret of the settings and of the files of passwords and tokens, to mask them in the logs.

    Blocking.
    """
    texts = set(settings.secrets)
    for path in (settings.gateway_token, settings.mqtt.password_file):
        # The user of the file reports what is wrong with it.
        with suppress(OSError, UnicodeDecodeError):
            if path is not None:
                texts.add(FilePath(path).expanduser().read_text()[:MAX_PASSWORD_CHARS].strip())
    return texts


def value_text(value: object) -> str:
    """Return a value as `config set` takes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.15g}"
        case tuple() | list():
            return shlex.join(str(item) for item in value)
        case dict():
            return ", ".join(f"{name} = {item}" for name, item in value.items())
        case _:
            return str(value)


def _view(setting: Node, path: Path, assembly: Assembly) -> SettingView:
    key = dotted(path)
    values = assembly.sources.values
    value: Any = values.get(path)
    if path not in values:
        origin = "" if setting.default is None else DEFAULT
        return SettingView(key, setting.default, origin, setting.about)
    place, line = assembly.sources.places[path]
    if line is None:
        origin = place
    else:
        origin = f"{place}:{line}"
    if setting.inside:
        value = {place[-1]: text for place, text in values.items() if place[:-1] == path}
    if path == TASK_SECRETS:
        value = dict.fromkeys(value, SET)
    elif isinstance(value, dict):
        value = {name: _hide(text, setting) for name, text in value.items()}
    elif isinstance(value, str):
        value = _hide(value, setting)
    return SettingView(key, value, origin, setting.about)


def _hide(text: str, setting: Node) -> str:
    if setting.secret:
        return masked(text)
    return without_password(text)
