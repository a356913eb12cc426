"""Adds this server to the settings of MCP clients, or removes it; shows the change first. It asks no question."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct
from platformdirs import user_config_path

from microclaw.durable import replace_file
from microclaw.errors import ConfigError

ClientName: TypeAlias = Literal["claude-desktop", "claude-code", "cursor"]
CLIENTS: Final[tuple[ClientName, ...]] = ("claude-desktop", "claude-code", "cursor")
SERVERS: Final = "mcpServers"
NAME: Final = "microclaw"


class Edit(Struct, frozen=True):
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


def settings_file(client: ClientName) -> Path:
    """The file in which a client keeps the servers of this user."""
    home = Path.home()
    is_mac = sys.platform == "darwin"  # where platformdirs follows XDG_CONFIG_HOME, and Claude does not
    programs = home / "Library/Application Support" if is_mac else user_config_path(appauthor=False, roaming=True)
    places = {
        "claude-desktop": programs / "Claude/claude_desktop_config.json",
        "claude-code": home / ".claude.json",
        "cursor": home / ".cursor/mcp.json",
    }
    return places[client]


def own_command(script: str) -> list[str]:
    """The command that starts this microclaw again, as absolute paths: assistants with windows have no shell's PATH.

    Run by `uvx`, its folder is a cache that may be emptied, so uvx is named, with the wheel or folder that it was
    installed from (PEP 610), as a registry may have another package of this name; else the script that runs now.
    """
    uvx = shutil.which("uvx")
    if uvx is not None and any(part.startswith(("archive-v", "environments-v")) for part in Path(sys.prefix).parts):
        try:
            source = distribution("microclaw").read_text("direct_url.json")
        except PackageNotFoundError:
            source = None
        return [uvx, *([] if source is None else ["--from", f"microclaw @ {json.loads(source)['url']}"]), "microclaw"]
    path = Path(script)
    if path.stem == "microclaw" and path.is_file() and os.access(path, os.X_OK):
        return [str(path.absolute())]
    return [sys.executable, "-m", "microclaw"]


def entry(client: ClientName, command: Sequence[str], home_option: Path | None) -> dict[str, Any]:
    """This server as the client's settings name it; `home_option`: a data folder that is not the usual one."""
    place = [] if home_option is None else ["--home", str(home_option)]
    value: dict[str, Any] = {"command": command[0], "args": [*command[1:], *place, "mcp"]}
    return {"type": "stdio", **value} if client == "claude-code" else value


def edited(path: Path, value: dict[str, Any] | None) -> Edit:
    """The file with this server's entry, or without one for None. The order of the other settings stays; the layout
    becomes json's own. ConfigError says what to do by hand where the file is not plain JSON."""
    old = _read(path)
    try:
        settings = json.loads(old, object_pairs_hook=_object) if old and old.strip() else {}
        servers = settings.setdefault(SERVERS, {})
        if value is None and NAME not in servers:
            return Edit(path, old, old or "")
        servers.pop(NAME) if value is None else servers.update({NAME: value})
        new = json.dumps(settings, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        new.encode()
    except (ValueError, AttributeError, TypeError, RecursionError) as exc:  # comments, say: writing could lose them
        todo = f"take {NAME!r} out of" if value is None else f"paste {json.dumps(NAME)}: {json.dumps(value)} into"
        text = f"{path} is not plain JSON, so nothing is written: {exc}"
        raise ConfigError(text, next_step=f"{todo} {SERVERS!r} in it yourself") from exc
    return Edit(path, old, new)


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
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read {path}: {exc}", next_step="check it and its permissions") from exc


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice in one object")
    return found
