"""The bill of materials, of the real lock files."""

from __future__ import annotations

import re
import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SBOM = runpy.run_path(str(ROOT / "scripts/sbom.py"))
PIN = re.compile(r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")


def pinned(lock: Path) -> set[tuple[str, str]]:
    return {
        (name.lower().replace("_", "-").replace(".", "-"), version) for name, version in PIN.findall(lock.read_text())
    }


LOCK = "aiohttp==3.14.5 \\\n    --hash=sha256:" + "a" * 64 + "\nzope.interface==8.0 ; sys_platform == 'linux' \\\n"
LOCK += "    --hash=sha256:" + "b" * 64 + "\n"


# The bill of materials. Structural checks of our own: no package of the locks brings CycloneDX's schema.


def test_the_bill_of_materials_has_every_locked_version_once_and_nothing_else() -> None:
    document = SBOM["bom"]()
    found = {(one["name"], one["version"]) for one in document["components"]}
    locks = [ROOT / name for name in SBOM["LOCKS"]]
    files = tomllib.loads((ROOT / SBOM["VENDORED"]).read_text())["file"]
    vendored = {pair for one in files for pair in one.get("packages", {}).items()}
    vendored |= {(one["package"], one["version"]) for one in files if "package" in one}
    assert found == vendored.union(*map(pinned, locks))
    assert len(document["components"]) == len(found)
    needed = vendored | pinned(ROOT / "requirements.lock")
    assert {(o["name"], o["version"]) for o in document["components"] if o["scope"] == "required"} == needed
    assert {one["scope"] for one in document["components"]} == {"required", "optional"}


def test_the_bill_of_materials_is_the_same_each_time_and_another_for_another_lock(tmp_path: Path) -> None:
    assert SBOM["bom"]() == SBOM["bom"]()
    for name in ("pyproject.toml", *SBOM["LOCKS"]):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / SBOM["VENDORED"]).parent.mkdir(parents=True)
    (tmp_path / SBOM["VENDORED"]).write_text((ROOT / SBOM["VENDORED"]).read_text())
    assert SBOM["bom"](tmp_path) == SBOM["bom"]()
    (tmp_path / "requirements.lock").write_text(LOCK)
    other = SBOM["bom"](tmp_path)
    assert other["serialNumber"] != SBOM["bom"]()["serialNumber"]
    (marked,) = [one for one in other["components"] if one["name"] == "zope-interface"]
    assert {"name": "microclaw:marker", "value": "sys_platform == 'linux'"} in marked["properties"]
    (tmp_path / "requirements.lock").write_text(LOCK + "unpinned>=1\n")
    with pytest.raises(ValueError, match=r"requirements\.lock: a row has no version or no hash"):
        SBOM["bom"](tmp_path)


def test_the_repository_ships_no_file_of_others_but_those_listed() -> None:
    """One that does belongs into the bill of materials: give scripts/sbom.py a component for it."""
    folder = Path(SBOM["VENDORED"]).parent
    files = tomllib.loads((ROOT / SBOM["VENDORED"]).read_text())["file"]
    known = {(folder / name).as_posix() for one in files for name in (one["name"], *one["licences"])}
    listed = subprocess.run(
        ["git", "ls-files", "src", "firmware"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    notice = re.compile(rb"copyright (\(c\)|\d{4})|SPDX-FileCopyrightText", re.IGNORECASE)
    others = {name for name in listed.stdout.split() if notice.search((ROOT / name).read_bytes())}
    assert others <= known
