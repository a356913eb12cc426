"""`microclaw app publish`: an entry is read, built and tried, then written whole beside its older versions."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from microclaw.apps.building import program_language
from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.trial import TrialOptions
from microclaw.boards.reader import load_board
from microclaw.cli.options import GlobalOptions
from microclaw.cli.trials import build_program, try_built
from microclaw.durable import replace_file, sync_folder
from microclaw.errors import ConfigError, StoreError, TrialFailed
from microclaw.patterns.catalog import MAX_VERSIONS, Entry, read_entry, versions_in
from microclaw.patterns.entry_form import NAME, parse_version


def publish_entry(options: GlobalOptions, file: Path, to: Path | None) -> None:
    """Build and try an entry, and put it into a catalogue when it does what it says."""
    if file.suffix != ".toml" or not NAME.fullmatch(file.stem):
        raise ConfigError(f"{file.name[:80]!r} is no NAME.toml", next_step="NAME has letters, digits, - and _")
    folders = options.settings().catalog.folders
    if to is None and not folders:
        raise ConfigError("no catalogue to publish to", next_step="give --to DIR, or set catalog.folders")
    shelf = (to or Path(folders[0])).expanduser().absolute()
    if not shelf.is_dir():
        raise ConfigError(f"{shelf} is no folder", next_step=f"make it: mkdir -p {shelf}")
    entry, board = read_entry(file.absolute().parent, file.stem, str(shelf)), load_board("virtual")
    place = shelf / entry.name / entry.version_text
    document: dict[str, Any] = {"name": entry.name, "version": entry.version_text, "folder": str(place)}
    if _is_there(shelf, entry):
        options.report("published", {**document, "new": False}, f"{entry.name} {entry.version_text} is there already")
        return
    proofs: list[dict[str, Any]] = []
    for kind in entry.kinds:
        for blocking in entry.sources(kind):
            program = entry.fill({}, kind, blocking=blocking)
            how = TrialOptions(expectations=parse_expectations(program.expect))
            values = {
                "name": entry.app_name,
                "source": program.source,
                "language": program_language(program.file),
            }
            trial = try_built(options, build_program(options, values, board), board, how)
            if not trial.ok:
                text = f"nothing was published, as it does not do what it says: {trial.error}"
                raise TrialFailed(text, next_step=f"correct the program or expect in {file}")
            options.say(f"{program.file}: {trial.proof}")
            proofs.append({"kind": kind, "proof": trial.proof, "expected": [one.to_json() for one in trial.expected]})
    write_entry(shelf, entry)
    text = f"{entry.name} {entry.version_text} is in {place}"
    options.report("published", {**document, "new": True, "proofs": proofs}, text)


def write_entry(shelf: Path, entry: Entry) -> None:
    """Put a version into a catalogue, whole or not at all. StoreError leaves what was there."""
    place, version = shelf / entry.name, entry.version_text
    try:
        place.mkdir(exist_ok=True)
        with TemporaryDirectory(prefix=".", dir=place) as building:
            made = Path(building, version)
            made.mkdir()
            for name, content in entry.files.items():
                replace_file(made / name, content, mode=0o644)
            made.rename(place / version)
        sync_folder(place)
        sync_folder(shelf)
    except OSError as exc:
        raise StoreError(
            f"cannot write {entry.name} {version} into {shelf}: {exc.strerror or exc}",
            next_step="nothing was changed; check the folder's permissions and free space",
        ) from exc


def _is_there(shelf: Path, entry: Entry) -> bool:
    """True if this very version is there. Raises ConfigError for one that is not newer than what is there."""
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
