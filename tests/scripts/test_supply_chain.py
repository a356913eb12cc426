"""The bill of materials and the check against advisories: made-up advisories, real lock files."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from microclaw.cli.advisories import MAX_FILE_BYTES, Package, affected, read_advisories
from microclaw.errors import ConfigError

ROOT = Path(__file__).parents[2]
SBOM = runpy.run_path(str(ROOT / "scripts/sbom.py"))
ADVISORIES = runpy.run_path(str(ROOT / "scripts/advisories.py"))
check: Callable[[list[str]], int] = ADVISORIES["main"]
locked_packages: Callable[[Path], list[Package]] = ADVISORIES["locked_packages"]
LOCK = "aiohttp==3.14.5 \\\n    --hash=sha256:" + "a" * 64 + "\nzope.interface==8.0 ; sys_platform == 'linux' \\\n"
LOCK += "    --hash=sha256:" + "b" * 64 + "\n"


def advisory(name: str = "aiohttp", **changes: Any) -> dict[str, Any]:
    events = [{"introduced": "0"}, {"fixed": "3.14.6"}]
    about = {"package": {"ecosystem": "PyPI", "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return {"id": "MADE-UP-1", "aliases": ["CVE-0-1"], "summary": "made up", "affected": [about], **changes}


def ranged(*events: tuple[str, str], versions: tuple[str, ...] = ()) -> dict[str, Any]:
    found = advisory()
    found["affected"][0]["ranges"][0]["events"] = [dict([event]) for event in events]
    found["affected"][0]["versions"] = list(versions)
    return found


# The bill of materials. Structural checks of our own: no package of the locks brings CycloneDX's schema.


def test_the_bill_of_materials_has_every_locked_version_once_and_nothing_else() -> None:
    document = SBOM["bom"]()
    found = {(one["name"], one["version"]) for one in document["components"]}
    locks = [ROOT / name for name in SBOM["LOCKS"]]
    files = tomllib.loads((ROOT / SBOM["VENDORED"]).read_text())["file"]
    vendored = {pair for one in files for pair in one.get("packages", {}).items()}
    vendored |= {(one["package"], one["version"]) for one in files if "package" in one}
    assert found == vendored | {(one.name, one.version) for lock in locks for one in locked_packages(lock)}
    assert len(document["components"]) == len(found)
    needed = vendored | {(one.name, one.version) for one in locked_packages(ROOT / "requirements.lock")}
    assert {(o["name"], o["version"]) for o in document["components"] if o["scope"] == "required"} == needed
    assert {one["scope"] for one in document["components"]} == {"required", "optional"}


def test_the_bill_of_materials_has_the_form_of_cyclonedx_1_6() -> None:
    document = SBOM["bom"]()
    allowed = {
        "$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata", "components", "dependencies",
        "compositions",
    }  # fmt: skip
    assert set(document) == allowed
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", document["serialNumber"])
    references = [document["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in document["components"])]
    assert len(set(references)) == len(references)
    for one in document["components"]:
        assert set(one) <= {"type", "bom-ref", "name", "version", "scope", "purl", "properties", "licenses"}
        assert re.fullmatch(r"pkg:(pypi|npm)/(%40[a-z]+/)?[a-z0-9-]+@[A-Za-z0-9.%!-]+", one["purl"])
        assert all(set(row) == {"name", "value"} and row["value"] for row in one["properties"])
        hashes = [row["value"] for row in one["properties"] if row["name"] == "microclaw:file:sha256"]
        assert hashes
        for licence in one.get("licenses", ()):
            assert set(licence) in ({"expression"}, {"license"})
            assert "expression" not in licence or len(one["licenses"]) == 1
    (root,) = document["dependencies"]
    assert root["ref"] == references[0]
    assert set(root["dependsOn"]) <= set(references)
    assert "pkg:pypi/aiohttp@" in " ".join(root["dependsOn"])
    assert sum("licenses" in one for one in document["components"] if one["scope"] == "required") > 50


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


# Advisories.


@pytest.mark.parametrize(
    ("given", "versions"),
    [
        (ranged(("introduced", "0"), ("fixed", "3.14.6")), {"3.14.5", "3.14.5rc1", "0.1", "3.9"}),
        (ranged(("introduced", "3.14"), ("fixed", "3.14.5")), {"3.14.5rc1"}),
        (ranged(("introduced", "3.14.5")), {"3.14.5", "4.0"}),
        (ranged(("introduced", "0"), ("last_affected", "3.14.5rc1")), {"3.14.5rc1", "0.1", "3.9"}),
        (ranged(("introduced", "3.9"), ("fixed", "3.10"), ("introduced", "4.0"), ("fixed", "5")), {"3.9", "4.0"}),
        (ranged(("fixed", "3.9"), ("introduced", "0")), {"0.1"}),
        (ranged(("introduced", "9"), versions=("0.1",)), {"0.1"}),
        (advisory("other"), set()),
        (advisory(withdrawn="2026-01-01T00:00:00Z"), set()),
        (advisory("AioHTTP"), {"3.14.5", "3.14.5rc1", "0.1", "3.9"}),
    ],
)
def test_versions_in_range_are_found_as_pep_440_orders_them(given: dict[str, Any], versions: set[str]) -> None:
    packages = [Package("aiohttp", version) for version in ("0.1", "3.9", "3.14.5rc1", "3.14.5", "4.0")]
    assert {one.version for one in affected(packages, [given])} == versions


def test_another_ecosystem_and_ranges_of_commits_do_not_count() -> None:
    other, commits = advisory(), advisory()
    other["affected"][0]["package"]["ecosystem"] = "npm"
    commits["affected"][0]["ranges"][0]["type"] = "GIT"
    assert affected([Package("aiohttp", "3.14.5")], [other, commits]) == []


def test_the_command_names_what_is_about_the_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.lock").write_text(LOCK)
    lock = ["--lock", str(tmp_path / "x.lock")]
    (tmp_path / "one.json").write_text(json.dumps(advisory()))
    assert check([str(tmp_path / "one.json"), *lock]) == 1
    assert "aiohttp 3.14.5: MADE-UP-1 (CVE-0-1), mended in 3.14.6: made up" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("A.json", json.dumps(advisory("nobody")))
        archive.writestr(
            "B.json", json.dumps(advisory("Zope_Interface", affected=advisory("Zope_Interface")["affected"]))
        )
        archive.writestr("README", "no advisory")
    assert check([str(tmp_path / "all.zip"), *lock]) == 0  # 8.0 is above 3.14.6
    document = ranged(("introduced", "8"))
    document["affected"][0]["package"]["name"] = "zope.interface"
    (tmp_path / "two.json").write_text(json.dumps([document, advisory("nobody")]))
    capsys.readouterr()
    assert check([str(tmp_path / "two.json"), str(tmp_path / "all.zip"), "--json", *lock]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["vulnerable"]] == ["zope-interface"]
    assert found["vulnerable"][0]["fixed"] == []


def test_every_lock_of_the_repository_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pytest_row,) = [one for one in locked_packages(ROOT / "requirements-dev.lock") if one.name == "pytest"]
    given = ranged(versions=(pytest_row.version,))
    given["affected"][0]["package"]["name"] = "pytest"
    (tmp_path / "one.json").write_text(json.dumps(given))
    assert check([str(tmp_path / "one.json")]) == 1
    assert f"pytest {pytest_row.version}: MADE-UP-1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [b"", b"no json", b"[1]", b"{}", b'{"id":1}', b"[" * 100_000, b"\xff\xfe", b" " * (MAX_FILE_BYTES + 1),
     json.dumps(advisory(affected=[{"package": {"ecosystem": "PyPI", "name": "aiohttp"}, "ranges": 3}])).encode(),
     json.dumps(ranged(("introduced", "no version"))).encode(), json.dumps(advisory(affected=7)).encode()],
)  # fmt: skip
def test_what_is_no_advisory_is_an_error_and_not_a_clean_bill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "x.lock").write_text(LOCK)
    (tmp_path / "one.json").write_bytes(content)
    assert check([str(tmp_path / "one.json"), "--lock", str(tmp_path / "x.lock")]) == 2
    assert "next: " in capsys.readouterr().err


def test_a_file_that_is_not_there_and_a_lock_without_rows_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no advisory can be read"):
        list(read_advisories([tmp_path / "none.json"]))
    (tmp_path / "empty.lock").write_text("# nothing\n")
    assert check([str(tmp_path / "x"), "--lock", str(tmp_path / "empty.lock")]) == 2
