"""`microclaw app publish`: an entry is read, built and tried, then written whole beside its older versions."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from pathlib import Path
from typing import Any

from microclaw.apps.building import cached_compiler, program_language
from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.reader import load_board
from microclaw.cli.options import GlobalOptions
from microclaw.durable import replace_file, sync_folder
from microclaw.errors import ConfigError, MicroclawError, StoreError, TrialFailed
from microclaw.events import ProgramKind
from microclaw.patterns.catalog import MAX_VERSIONS, Entry, read_entry, versions_in
from microclaw.patterns.entry_form import NAME, EntryMistake, parse_version
from microclaw.patterns.library import Program
from microclaw.wasm import BuildCache

BOARD = "virtual"


def publish_entry(options: GlobalOptions, what: Path, to: Path | None) -> None:
    """Build and try an entry, and put it into a catalogue when it does what it says."""
    shelf = _shelf(options, to)
    file = _description(what)
    entry = read_entry(file.parent, file.stem, str(shelf))
    place = shelf / entry.name / entry.version_text
    document: dict[str, Any] = {"name": entry.name, "version": entry.version_text, "folder": str(place)}
    if _is_there(shelf, entry):
        options.report("published", {**document, "new": False}, f"{entry.name} {entry.version_text} is there already")
        return
    proofs: list[dict[str, Any]] = []
    for kind in entry.kinds:
        for blocking in entry.sources(kind):
            program = entry.fill({}, kind, blocking=blocking)
            trial = asyncio.run(_tried(entry, kind, program, BuildCache(options.settings().cache)))
            if not trial.ok:
                text = f"nothing was published, as it does not do what it says: {trial.error}"
                raise TrialFailed(text, next_step=f"correct the program or expect in {file}")
            options.say(f"{program.file}: {trial.proof}")
            proofs.append({"kind": kind, "proof": trial.proof, "expected": [one.to_json() for one in trial.expected]})
    write_entry(shelf, entry)
    text = f"{entry.name} {entry.version_text} is in {place}"
    options.report("published", {**document, "new": True, "proofs": proofs}, text)


async def _tried(entry: Entry, kind: ProgramKind, program: Program, cache: BuildCache) -> Trial:
    """Raises BuildError and EntryMistake."""
    try:
        asked = parse_expectations(program.expect)
    except MicroclawError as exc:
        raise EntryMistake(f"{entry.name}.toml", f"expect: {exc.message}") from exc
    board, language = load_board(BOARD), program_language(program.file)
    image = await cached_compiler(cache)(program.source, board, entry.app_name, "O3", language, (kind,))
    return await try_image(image, board, TrialOptions(expectations=asked), cache=cache)


def write_entry(shelf: Path, entry: Entry) -> None:
    """Put a version into a catalogue, whole or not at all. StoreError leaves what was there."""
    place = shelf / entry.name
    building = place / f".{entry.version_text}.{secrets.token_hex(4)}.new"
    try:
        place.mkdir(exist_ok=True)
        building.mkdir()
        try:
            for name, content in entry.files.items():
                replace_file(building / name, content, mode=0o644)
            building.rename(place / entry.version_text)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        sync_folder(place)
        sync_folder(shelf)
    except OSError as exc:
        raise StoreError(
            f"cannot write {entry.name} {entry.version_text} into {shelf}: {exc.strerror or exc}",
            next_step="nothing was changed; check the folder's permissions and free space",
        ) from exc


def _shelf(options: GlobalOptions, to: Path | None) -> Path:
    folders = options.settings().catalog.folders
    if to is None and not folders:
        raise ConfigError("no catalogue to publish to", next_step="give --to DIR, or set catalog.folders")
    shelf = (to or Path(folders[0])).expanduser().absolute()
    if not shelf.is_dir():
        raise ConfigError(f"{shelf} is no folder", next_step=f"make it: mkdir -p {shelf}")
    return shelf


def _description(what: Path) -> Path:
    """The entry's TOML file: the file itself, or the only one in a folder."""
    if what.is_dir():
        found = sorted(one for one in what.iterdir() if one.suffix == ".toml")
        if len(found) != 1:
            raise ConfigError(f"{what} has {len(found)} .toml files", next_step="give the entry's own: NAME.toml")
        what = found[0]
    if what.suffix != ".toml" or not NAME.fullmatch(what.stem):
        raise ConfigError(
            f"{what.name[:80]!r} is no description of an entry",
            next_step="give NAME.toml; NAME has letters, digits, - and _, at most 63",
        )
    return what.absolute()


def _is_there(shelf: Path, entry: Entry) -> bool:
    """Whether this very version is there. Raises ConfigError for one that is not newer than what is there."""
    place = shelf / entry.name
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise ConfigError(f"{place} is a link or a file, and not a folder", next_step="move it away")
    versions = versions_in(place) if place.exists() else []
    is_there = entry.version_text in versions
    if is_there and read_entry(place / entry.version_text, entry.name, str(shelf)).files == entry.files:
        return True
    if is_there or (versions and entry.version < parse_version(versions[-1])):
        text = f"{entry.name} {versions[-1]} is there, which {entry.version_text} does not follow"
        raise ConfigError(text, next_step="give it a higher version")
    if len(versions) >= MAX_VERSIONS:
        raise ConfigError(f"{place} has {len(versions)} versions", next_step="remove the oldest")
    return False
