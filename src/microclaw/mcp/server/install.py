"""Adds this server to the settings of MCP clients, or removes it; shows the change first. It asks no question."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from microclaw.durable import replace_file
from microclaw.errors import ConfigError

ClientName: TypeAlias = Literal["claude-desktop", "claude-code", "cursor"]
CLIENTS: Final[tuple[ClientName, ...]] = ("claude-desktop", "claude-code", "cursor")
SERVERS: Final = "mcpServers"
NAME: Final = "microclaw"
MAX_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Edit:
    """A settings file before and after; nothing is written yet. `old` is None for a file that is not there."""

    path: Path
    old: str | None
    new: str

    @property
    def changes(self) -> bool:
        return self.new != (self.old or "")

    def diff(self) -> list[str]:
        """As `diff -u` shows it; values of other entries may stand around it, as in the file itself."""
        old, new = (self.old or "").splitlines(), self.new.splitlines()
        return list(difflib.unified_diff(old, new, str(self.path), f"{self.path} (new)", lineterm="", n=2))


def settings_file(client: ClientName, home: Path, environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where a client keeps the servers of this user."""
    match client, platform:
        case "claude-desktop", "darwin":
            return home / "Library/Application Support/Claude/claude_desktop_config.json"
        case "claude-desktop", "win32":
            return Path(environ.get("APPDATA") or home / "AppData/Roaming") / "Claude/claude_desktop_config.json"
        case "claude-desktop", _:
            return Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "Claude/claude_desktop_config.json"
        case "claude-code", _:
            return home / ".claude.json"
        case _:
            return home / ".cursor/mcp.json"


def own_command(
    script: str,
    *,
    prefix: str = sys.prefix,
    executable: str = sys.executable,
    uvx: str | None = None,
    source: str | None = None,
) -> list[str]:
    """What starts this microclaw again, as absolute paths: assistants with windows have no shell's PATH.

    Run by `uvx`, its folder is a cache that may be emptied, so uvx is named, with the wheel or folder that it was
    installed from (`source`), as a registry may have another package of this name; else the script that runs now.
    """
    if uvx is not None and any(part.startswith(("archive-v", "environments-v")) for part in Path(prefix).parts):
        return [uvx, "microclaw"] if source is None else [uvx, "--from", f"microclaw @ {source}", "microclaw"]
    path = Path(script)
    if path.stem == "microclaw" and path.is_file() and os.access(path, os.X_OK):
        return [str(path.absolute())]
    return [executable, "-m", "microclaw"]


def installed_from() -> str | None:
    """The URL of the wheel or folder that this microclaw was installed from (PEP 610); None for a registry's."""
    try:
        text = distribution("microclaw").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    return None if text is None else str(json.loads(text)["url"])


def entry(client: ClientName, command: Sequence[str], home_option: Path | None) -> dict[str, Any]:
    """This server as the client's settings name it; `home_option`: a data folder that is not the usual one."""
    place = [] if home_option is None else ["--home", str(home_option)]
    value: dict[str, Any] = {"command": command[0], "args": [*command[1:], *place, "mcp"]}
    return {"type": "stdio", **value} if client == "claude-code" else value


def installing(path: Path, value: Mapping[str, Any]) -> Edit:
    """The file with this server's entry. ConfigError says what to paste where the file is not plain JSON."""
    return _edit(path, dict(value))


def uninstalling(path: Path) -> Edit:
    return _edit(path, None)


def write(edit: Edit, now: datetime) -> Path | None:
    """Write it in one step and keep its mode; the backup's path, None for a new file."""
    path = edit.path.resolve()
    if _read(edit.path) != edit.old:
        raise ConfigError(f"{edit.path} was changed meanwhile", next_step="close that program and do it again")
    backup = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if edit.old is not None:
            backup = path.with_name(f"{path.name}.{now:%Y%m%d-%H%M%S-%f}.bak")
            shutil.copy2(path, backup)
        replace_file(path, edit.new.encode(), mode=None)
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror}", next_step="check the folder's permissions") from exc
    return backup


def _read(path: Path) -> str | None:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES >> 20} MB", next_step="is this the right file?")
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read {path}: {exc}", next_step="check it and its permissions") from exc


def _edit(path: Path, value: dict[str, Any] | None) -> Edit:
    """Set the entry, or take it out. The order of the other settings stays; the layout becomes json's own."""
    old = _read(path)
    try:
        settings = json.loads(old, object_pairs_hook=_object) if old and old.strip() else {}
        servers = settings.setdefault(SERVERS, {})
        if value is None and NAME not in servers:
            return Edit(path, old, old or "")
        servers.pop(NAME) if value is None else servers.update({NAME: value})
        new = json.dumps(settings, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        new.encode()
    except (ValueError, AttributeError, TypeError, RecursionError) as exc:
        raise _not_plain(path, exc, value) from exc
    return Edit(path, old, new)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice in one object")
    return found


def _not_plain(path: Path, error: Exception, value: dict[str, Any] | None) -> ConfigError:
    """Comments, trailing commas, or a mistake: writing the file again could lose something."""
    if value is None:
        todo = f"take {NAME!r} out of {SERVERS!r} in it yourself"
    else:
        todo = f"paste this into {SERVERS!r} in it yourself: {json.dumps(NAME)}: {json.dumps(value)}"
    return ConfigError(f"{path} is not plain JSON, so nothing is written: {error}", next_step=todo)
