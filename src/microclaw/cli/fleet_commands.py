"""`microclaw fleet`: a file says what runs on many devices. The host compares and acts (apps/fleet_operations.py)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click

from microclaw.apps import fleet_operations as fleet
from microclaw.cli.fleet_file import FleetFile
from microclaw.cli.many_devices import chosen_names, known_devices
from microclaw.cli.operation_commands import done, show
from microclaw.cli.options import GlobalOptions, command_group
from microclaw.devices.calls import AppInstall
from microclaw.devices.selection import names_text
from microclaw.durable import write_given
from microclaw.errors import ConfigError, MicroclawError, ProtocolError
from microclaw.text import count_text

fleet_group = command_group()
_FILE: Final = re.compile(r"[A-Za-z0-9][\w.-]*\.(c|cpp|ino|py|wasm|yaml)")
_file_option = click.option(
    "-f", "--file", default=Path(fleet.FLEET), type=Path, metavar="FILE", help="What shall run where."
)
_prune_option = click.option(
    "--prune", is_flag=True, help="Also take off what is not in the file and this host installed."
)


@fleet_group.command()
@_file_option
@_prune_option
@click.option("--dry-run", is_flag=True, help="Show what it would change, and change nothing; exit code 1: something.")
@click.pass_obj
def apply(options: GlobalOptions, file: Path, prune: bool, dry_run: bool) -> None:
    """Make the devices run what a file says. A second time it does nothing."""
    host, asked = options.host(), {**_read(options, file), "prune": prune}
    found = done(options, host, fleet.diff, asked)
    if dry_run:
        show(options, fleet.diff, found)
        return
    if found.differences and not options.quiet and not options.json:
        options.table(found.table(), head=tuple(found.columns))
    if found.differences and "refused" not in found.counts:
        options.agree(found.question)
    asked |= {"digest": found.digest}
    show(options, fleet.apply, done(options, host, fleet.apply, asked))


@fleet_group.command()
@click.option(
    "--out", type=Path, metavar="DIR", help="Write the file and the programs there; else the file is printed."
)
@click.pass_obj
def export(options: GlobalOptions, out: Path | None) -> None:
    """Export the desired state of the devices, as a file for `apply`."""
    host, many = options.host(), options.devices or options.labels or options.every
    found = done(options, host, fleet.export, {"devices": chosen_names(options, host) if many else None})
    if out is not None:
        _write(out, found.files)
        told = f"{count_text(len(found.programs), 'program')}, {count_text(len(found.files) - 1, 'file')} beside it"
        made = {"folder": str(out), "files": sorted(found.files), "programs": found.programs}
        options.report(found.document, made, f"{out / fleet.FLEET}: {told}")
    elif not options.wrote_json(found.document, {"folder": None, "files": [], "programs": found.programs}):
        text = found.files[fleet.FLEET].decode()
        options.line(f"{text}# This is the file alone; with the programs' files: microclaw fleet export --out DIR")


def _read(options: GlobalOptions, file: Path) -> dict[str, Any]:
    """The file as the host takes it, for the devices that are meant. Raises FileMistakes with all that is wrong."""
    found, host = FleetFile(file), options.host()
    try:
        known = known_devices(host)
    except MicroclawError:
        found.check()  # what is wrong without a host is told without one
        raise
    found.choose_devices(known)
    found.check()
    ids = {one for entry in found.entries for one in entry.ids}
    if options.devices or options.labels or options.every:
        names = chosen_names(options, host)
        meant = [one for one in known if one.name in names]
        ids = {one.device_id for one in meant if AppInstall.method in one.capabilities}
        if len(ids) < len(meant) and (options.devices or not ids):
            others = [one.name for one in meant if one.device_id not in ids]
            raise ConfigError(f"takes no programs: {names_text(others)}", next_step="microclaw device show NAME")
    programs = [{**entry.body, "devices": [one for one in entry.ids if one in ids]} for entry in found.entries]
    devices = [one.device_id for one in known if one.device_id in ids]
    return {"programs": [one for one in programs if one["devices"]], "devices": devices}


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write them all, or raise ConfigError: a file that is there with another content is never replaced."""
    if odd := [name for name in files if not _FILE.fullmatch(name)]:  # the host may be another one
        raise ProtocolError(f"the host named a file {odd[0][:60]!r}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [name for name in files if not (folder / name).exists() and not (folder / name).is_symlink()]
        for name in files.keys() - missing:
            if (at := folder / name).read_bytes() != files[name]:
                raise ConfigError(f"{at} is there and is not the same", next_step="give an empty folder with --out")
        for name in missing:
            write_given(folder / name, [files[name]], next_step="give an empty folder with --out")
    except OSError as exc:
        raise ConfigError(f"cannot write into {folder}: {exc.strerror}", next_step="give another --out DIR") from exc
