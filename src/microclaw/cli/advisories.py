"""Known vulnerabilities of Python packages, from advisories in files (OSV's JSON): offline, nothing is fetched.

The form is that of the OSV schema: an advisory a file, or many in a zip, as an ecosystem's database is given out.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from microclaw.errors import ConfigError

if TYPE_CHECKING:
    from packaging.version import Version

ECOSYSTEM: Final = "PyPI"
MAX_FILE_BYTES: Final = 8 << 20
MAX_MEMBERS: Final = 1_000_000
MAX_SUMMARY_CHARS: Final = 120


@dataclass(frozen=True, slots=True)
class Package:
    name: str  # as PEP 503 writes it
    version: str


@dataclass(frozen=True, slots=True)
class Vulnerable:
    """A package with a version that an advisory is about; `fixed`: the versions that mend it."""

    name: str
    version: str
    advisory_id: str
    aliases: tuple[str, ...]
    summary: str
    fixed: tuple[str, ...]


def installed_packages() -> list[Package]:
    """What this Python has."""
    return [Package(normalized(found.name), found.version) for found in distributions() if found.name]


def normalized(name: str) -> str:
    """A project's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_advisories(files: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    """The advisories of files and zips, one by one. ConfigError names the file that is none."""
    for file in files:
        try:
            if zipfile.is_zipfile(file):
                yield from _zipped(file)
            else:
                yield from _advisories(file.read_bytes()[: MAX_FILE_BYTES + 1], str(file))
        except (OSError, zipfile.BadZipFile) as exc:
            raise _unreadable(str(file), exc) from exc


def affected(packages: Iterable[Package], advisories: Iterable[Mapping[str, Any]]) -> list[Vulnerable]:
    """Which packages have a version that an advisory is about, by name. Those that were withdrawn do not count.

    ConfigError for an advisory that cannot be understood: a check that leaves one out would say too much.
    """
    wanted: dict[str, set[str]] = {}
    for package in packages:
        wanted.setdefault(package.name, set()).add(package.version)
    found: dict[tuple[str, str, str], Vulnerable] = {}
    for advisory in advisories:
        try:
            for one in _matches(advisory, wanted):
                found[one.name, one.version, one.advisory_id] = one
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            raise _unreadable(str(advisory.get("id", "an advisory"))[:80], exc) from exc
    return [found[key] for key in sorted(found)]


def _zipped(file: Path) -> Iterator[Mapping[str, Any]]:
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".json")]
        if len(members) > MAX_MEMBERS:
            raise ConfigError(f"{file} has more than {MAX_MEMBERS:,} files", next_step="give a smaller one")
        for member in members:
            with archive.open(member) as opened:
                yield from _advisories(opened.read(MAX_FILE_BYTES + 1), f"{file}: {member.filename}")


def _advisories(data: bytes, where: str) -> Iterator[Mapping[str, Any]]:
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{where} is larger than {MAX_FILE_BYTES >> 20} MiB", next_step="give the files one by one")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise _unreadable(where, exc) from exc
    many = value if isinstance(value, list) else [value]
    for one in many:
        if not isinstance(one, dict) or not isinstance(one.get("id"), str):
            raise _unreadable(where, "it has no id")
        yield one


def _matches(advisory: Mapping[str, Any], wanted: Mapping[str, set[str]]) -> Iterator[Vulnerable]:
    if advisory.get("withdrawn"):
        return
    for one in advisory.get("affected", ()):
        package = one.get("package", {})
        name = normalized(str(package.get("name", "")))
        if package.get("ecosystem") != ECOSYSTEM or name not in wanted:
            continue
        ranges = [span["events"] for span in one.get("ranges", ()) if span["type"] == "ECOSYSTEM"]
        fixed = tuple(dict.fromkeys(str(event["fixed"]) for events in ranges for event in events if "fixed" in event))
        for version in sorted(wanted[name]):
            if version in one.get("versions", ()) or any(_within(version, events) for events in ranges):
                summary = " ".join(str(advisory.get("summary", "")).split())[:MAX_SUMMARY_CHARS]
                aliases = tuple(map(str, advisory.get("aliases", ())))
                yield Vulnerable(name, version, str(advisory["id"]), aliases, summary, fixed)


def _within(version: str, events: Sequence[Mapping[str, str]]) -> bool:
    """Whether a version is in a range of OSV: events in the order of their versions switch it on and off."""
    at = _version(version)
    steps = sorted(
        ((kind, _version(text)) for event in events for kind, text in event.items()), key=lambda step: step[1]
    )
    inside = False
    for kind, bound in steps:
        if kind == "introduced" and at >= bound:
            inside = True
        elif (kind in ("fixed", "limit") and at >= bound) or (kind == "last_affected" and at > bound):
            inside = False
    return inside


def _version(text: str) -> Version:
    """By PEP 440; "0" is before every version. ValueError for another form."""
    try:
        from packaging.version import Version
    except ImportError as exc:
        text = "versions are compared by the package packaging, which is not installed"
        raise ConfigError(text, next_step="pip install packaging, then do it again") from exc
    return Version("0.dev0" if text == "0" else text)


def _unreadable(where: str, why: object) -> ConfigError:
    return ConfigError(
        f"no advisory can be read from {where}: {why}", next_step="give OSV's JSON files, or a zip of them"
    )
