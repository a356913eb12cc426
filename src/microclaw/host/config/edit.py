"""Changes config.toml and secrets.toml. Comments stay, wrong values are never written, no reader sees half a file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import reduce
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Final, cast

from microclaw.durable import write_given
from microclaw.errors import ConfigError, StoreError
from microclaw.host.audit.event import AuditEvent, AuditKind
from microclaw.host.audit.log_files import append_events, locked
from microclaw.host.config.load import find_mistakes
from microclaw.host.config.schema import Node, Path, all_settings, did_you_mean, dotted, find, value_in
from microclaw.host.config.sources import CONFIG, SECRETS, Mistake, text_of_file

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

LAN: Final = "0.0.0.0:8443"
"""`host.link` where boards of the network reach it."""


def write_changes(
    home: FilePath, environ: Mapping[str, str], changes: Mapping[str, str | None]
) -> tuple[list[str], list[Mistake]]:
    """Set keys to values as a person writes them (None removes a key): all or none, under a lock.

    Returns the files that changed, and the problems that remain (a variable that is not set). Secrets are written to
    secrets.toml unless they are `${ENV}`. Raises ConfigError.
    """
    # The lock makes sure that another writer's change is read and kept.
    with locked(home):
        documents = {name: _document(home / name) for name in (SECRETS, CONFIG)}
        before = {name: document.as_string() for name, document in documents.items()}
        for key, value in changes.items():
            _apply(key, value, documents)
        texts = {name: document.as_string() for name, document in documents.items()}
        mistakes = _new_mistakes(home, environ, texts)
        for mistake in mistakes:
            if mistake.fatal:
                raise ConfigError(f"nothing was written: {mistake.message}", next_step=mistake.next_step)
        changed = [name for name, text in texts.items() if text != before[name]]
        if changed:
            _log_changes(home, changes)
        # Secrets come first: a secret that moves is always in one of the files.
        for name in changed:
            # The file may be a symbolic link.
            path = (home / name).resolve()
            write_given(path, [texts[name].encode()], replace=True, next_step="free space there")
        return changed, mistakes


def _new_mistakes(home: FilePath, environ: Mapping[str, str], texts: Mapping[str, str]) -> list[Mistake]:
    """Return the mistakes of the new texts that the files on the disk do not have."""
    before = {(mistake.key, mistake.message) for mistake in find_mistakes(environ, home)}
    mistakes = []
    for mistake in find_mistakes(environ, home, texts):
        if (mistake.key, mistake.message) not in before:
            mistakes.append(mistake)
    return mistakes


def _log_changes(home: FilePath, changes: Mapping[str, str | None]) -> None:
    """Write the changes to the security log, without values. Raises ConfigError if it cannot be written."""
    events = []
    for key, value in changes.items():
        action = "set" if value is not None else "set back to its default"
        events.append(AuditEvent(AuditKind.CONFIG_CHANGED, action, about=key))
    try:
        append_events(home, events)
    except (OSError, StoreError) as exc:
        text = f"nothing was written: the security log in {home} cannot be: {exc}"
        raise ConfigError(text, next_step="check its owner, permissions and free space") from exc


def read_key(text: str) -> tuple[Path, Node]:
    """`model.fallback.second.name` as a path and its setting; ConfigError names the nearest one."""
    path = tuple(text.split("."))
    if all(path):
        setting = find(path)
    else:
        setting = None
    if setting is None or (setting.inside and not setting.about):
        raise _unknown_setting(text)
    return path, setting


def _unknown_setting(text: str) -> ConfigError:
    """Return the error of a text that names no setting, with the nearest setting or where the value is given.

    A setting of the same name in quite another section is another thing: it is not suggested.
    """
    section, _, name = text.rpartition(".")
    candidates = []
    for path, _ in all_settings():
        *_, other_name = path
        if other_name != name or did_you_mean(section, [dotted(path[:-1])]):
            candidates.append(dotted(path))
    hint = did_you_mean(text, candidates)
    step = "microclaw config get --all"
    if name == "port" and not hint:
        step = "the port of the page and the API is given at the start: microclaw up --port PORT"
    return ConfigError(f"{text} is not a setting{hint}", next_step=step)


def _document(path: FilePath) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text_of_file(path)[0])
    except (ConfigError, TOMLKitError, ValueError, RecursionError) as exc:
        text = f"nothing was written: {path.name}: {exc}"
        raise ConfigError(text, next_step="microclaw config check") from exc


def _apply(key: str, text: str | None, documents: Mapping[str, TOMLDocument]) -> None:
    path, setting = read_key(key)
    has_variable = "${" in (text or "").replace("$${", "")
    if setting.secret and not has_variable:
        place = SECRETS
    else:
        place = CONFIG
    for name, document in documents.items():
        if text is not None and name == place:
            value: object = text
            if "${" not in text or setting.inside:
                value = value_in(text, setting)
            try:
                _table_of(document, path)[path[-1]] = value
            except (LookupError, TypeError) as exc:
                text = f"{dotted(path)} is in no section, or no row of the file has that number"
                raise ConfigError(text, next_step="microclaw config check") from exc
        else:
            # The file may not have the key or its section.
            with suppress(LookupError, TypeError, AttributeError):
                reduce(_below, path[:-1], cast(Any, document)).pop(path[-1])


def _below(node: Any, part: str) -> Any:
    """Return the value of this name in a table, or of this number in rows, as `[[model.fallback]]`.

    Raises LookupError, TypeError.
    """
    if not isinstance(node, list):
        return node[part]
    rows = {str(number): row for number, row in enumerate(node, 1)}
    return rows[part]


def _table_of(document: Any, path: Path) -> Any:
    """Return the table with the last name of a path, and create it if it is missing.

    Raises LookupError, TypeError if the path cannot have such a table.
    """
    import tomlkit

    node = document
    for part in path[:-1]:
        if isinstance(node, dict):
            node.setdefault(part, tomlkit.table())
        elif isinstance(node, tomlkit.items.AoT) and part == str(len(node) + 1):
            node.append(tomlkit.table())
        node = _below(node, part)
    return node
