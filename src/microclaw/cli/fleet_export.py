"""`microclaw export`: what is wanted on the devices now as a fleet.yaml, with the programs beside it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from microclaw.apps.building import check_app_name
from microclaw.apps.run_times import time_word
from microclaw.cli.many_devices import chosen_names
from microclaw.cli.options import GlobalOptions, global_options
from microclaw.client import Client
from microclaw.errors import ConfigError, ProtocolError
from microclaw.text import count_text

FLEET: Final = "fleet.yaml"
_SUFFIXES: Final = frozenset((".c", ".cpp", ".ino", ".py", ".wasm"))
_DEFAULTS: Final = {"timers": 20, "watchdog_ms": 180_000, "optimization": "O3"}
_HEAD: Final = "# What this host wanted on its devices; docs/fleet.md has the form.\n"


def export(
    ctx: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write the file and the programs there; else the file is printed."),
    ] = None,
) -> None:
    """What is wanted on the devices now, as a file for `apply`."""
    options = global_options(ctx)
    host = options.host()
    contents, entries = _entries(options, host)
    text = _HEAD + _yaml(entries)
    if out is not None:
        files = {**contents, FLEET: text.encode()}
        _write(out, files)
        made = {"folder": str(out), "files": sorted(files), "programs": entries}
        told = f"{count_text(len(entries), 'program')}, {count_text(len(contents), 'file')} beside it"
        options.report("fleet_export", made, f"{out / FLEET}: {told}")
    elif not options.wrote_json("fleet_export", {"folder": None, "files": [], "programs": entries}):
        options.line(f"{text}# This is the file alone; with the programs' files: microclaw export --out DIR")


def _entries(options: GlobalOptions, host: Client) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """The programs' files by their names, and the entries of the fleet file, by name."""
    wanted = host.fleet.wanted()
    if options.devices or options.labels or options.every:
        names = set(chosen_names(options, host))
        wanted = [app for app in wanted if app["device"] in names]
    asked: dict[tuple[Any, ...], dict[str, Any]] = {}
    devices: dict[tuple[Any, ...], list[str]] = {}
    for app in wanted:
        which = tuple(app[key] for key in ("name", "sha256", "board", "kind"))
        if which not in asked:
            asked[which] = host.fleet.program(app["device"], app["name"])
        program = asked[which]
        times = (app["every_ms"], app["stop_after_ms"])
        options_of = (app["heap_bytes"], program["heap_bytes"], app["timers"], app["watchdog_ms"], times)
        key = (app["name"], program["suffix"], _content(program), program.get("optimization"), *options_of)
        devices.setdefault(key, []).append(str(app["device"]))
    contents: dict[str, bytes] = {}
    entries: list[dict[str, Any]] = []
    for key in sorted(devices, key=lambda key: (key[0], devices[key])):
        name, suffix, content, optimization, heap, usual_heap, timers, watchdog, times = key
        file = _file_name(name, suffix, content, contents)
        contents[file] = content
        values = {"timers": timers, "watchdog_ms": watchdog, "optimization": optimization or "O3"}
        entry = {"file": file, "name": name, "devices": sorted(devices[key])}
        entry |= {} if heap == usual_heap else {"heap_bytes": heap}
        given = zip(("every", "stop_after"), times, strict=True)
        entry |= {what: time_word(ms) for what, ms in given if ms is not None}
        entries.append(entry | {what: value for what, value in values.items() if value != _DEFAULTS[what]})
    return contents, entries


def _content(program: dict[str, Any]) -> bytes:
    if program["suffix"] == ".wasm":
        return base64.b64decode(program["wasm"])
    return str(program["source"]).encode()


def _file_name(name: str, suffix: str, content: bytes, taken: dict[str, bytes]) -> str:
    """The program's name as a file; the host is not believed: it may be another one."""
    check_app_name(name)
    if suffix not in _SUFFIXES:
        raise ProtocolError(f"the host sent a program of an unknown kind: {suffix[:20]!r}")
    file, number = f"{name}{suffix}", 2
    while taken.get(file, content) != content:
        file, number = f"{name}.{number}{suffix}", number + 1
    return file


def _yaml(entries: list[dict[str, Any]]) -> str:
    fleet = {"programs": entries}
    return str(yaml.safe_dump(fleet, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True))


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write them all, or raise ConfigError: a file that is there with another content is never replaced."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            at = folder / name
            if (at.exists() or at.is_symlink()) and at.read_bytes() != content:
                raise ConfigError(f"{at} is there and is not the same", next_step="give an empty folder with --out")
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as exc:
        raise ConfigError(f"cannot write into {folder}: {exc.strerror}", next_step="give another --out DIR") from exc
