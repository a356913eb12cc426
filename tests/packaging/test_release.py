"""A release's files: a wheel made again has the same bytes, and they hold what they should. Nothing is uploaded."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
RELEASE: Final[dict[str, Any]] = runpy.run_path(str(ROOT / "scripts/release.py"))
ReleaseError: Final = RELEASE["ReleaseError"]
EPOCH: Final = "1790000000"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", EPOCH)
        out = tmp_path_factory.mktemp("release")
        RELEASE["build"](out / "one", changed=True)
    return out


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that a release writes to, in a repository of their own."""
    for name in ("pyproject.toml", "src/microclaw/__init__.py", "packaging/home-assistant/config.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## Unreleased\n\n### Added\n- A thing.\n\n## 0.0.1 - 2026-01-02\n- Old.\n"
    )
    return tmp_path


def tracked(*places: str) -> set[str]:
    # With -z names of other letters than ASCII stay as they are.
    told = subprocess.run(["git", "ls-files", "-z", *places], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(told.stdout.split("\0")) - {""}


def version() -> str:
    return str(RELEASE["version_of"]())


def test_a_wheel_that_is_built_again_has_the_same_bytes(made: Path, tmp_path: Path) -> None:
    (wheel,) = (made / "one").glob("*.whl")  # of the unpacked sdist; the other is of the repository
    assert RELEASE["build_wheel"](tmp_path / "two", int(EPOCH)).read_bytes() == wheel.read_bytes()


def test_the_wheel_holds_each_file_of_the_package_and_of_the_firmware(made: Path) -> None:
    (wheel,) = (made / "one").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = archive.read(f"microclaw-{version()}.dist-info/METADATA").decode()
    package = {name.removeprefix("src/") for name in tracked("src/microclaw")}
    boards = {name.replace("firmware/", "microclaw/firmware_files/", 1) for name in tracked("firmware")}
    assert held == package | boards
    assert not {"extra == 'models'", "Provides-Extra: models"} & set(about.splitlines())
    assert "Requires-Dist: pydantic-ai-slim" in about
    assert "License-File: LICENSE" in about


def test_the_sdist_holds_each_file_of_the_repository(made: Path) -> None:
    (sdist,) = (made / "one").glob(f"microclaw-{version()}.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
        assert {member.mtime for member in archive.getmembers()} == {int(EPOCH)}
    assert tracked() - held == set()
    assert held - tracked() <= {"PKG-INFO"}


def test_the_bundle_is_the_wheel_with_the_locks_versions(made: Path) -> None:
    (bundle,) = (made / "one").glob("*.mcpb")
    with zipfile.ZipFile(bundle) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
        project = tomllib.loads(archive.read("pyproject.toml").decode())
        (wheel,) = (name for name in names if name.endswith(".whl"))
        assert archive.read(wheel) == (made / "one" / wheel).read_bytes()
        compile(archive.read(manifest["server"]["entry_point"]), "server.py", "exec")
    assert manifest["version"] == project["project"]["version"] == version()
    assert project["tool"]["uv"]["sources"]["microclaw"] == {"path": wheel}
    rows = [row for row in (ROOT / "requirements.lock").read_text().splitlines() if row[:1].isalnum()]
    assert project["tool"]["uv"]["constraint-dependencies"] == [row.removesuffix(" \\") for row in rows]


def test_prepare_writes_the_version_everywhere_and_the_changelogs_heading(copy: Path) -> None:
    RELEASE["prepare"]("1.2.3rc1", "2026-12-01", copy)
    assert RELEASE["version_of"](copy) == "1.2.3rc1"
    assert '__released__ = "2026-12-01"' in (copy / "src/microclaw/__init__.py").read_text()
    text = (copy / "CHANGELOG.md").read_text()
    assert RELEASE["section"](text, "1.2.3rc1") == "### Added\n- A thing."
    assert RELEASE["section"](text, "Unreleased") == ""
    assert RELEASE["section"](text, "0.0.1") == "- Old."
    assert RELEASE["section"](text, "0.0") == ""


@pytest.mark.parametrize(
    ("wanted", "day"),
    [("1.2", "2026-12-01"), ("1.2.3", "1.12.2026"), ("0.0.1", "2026-12-01")],
)
def test_what_cannot_be_prepared_changes_nothing(copy: Path, wanted: str, day: str) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(ReleaseError):
        RELEASE["prepare"](wanted, day, copy)
    assert before == {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}


def test_changes_that_are_not_committed_are_no_release(copy: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(copy)], check=True)
    with pytest.raises(ReleaseError):
        RELEASE["build"](tmp_path / "out", copy)
    with pytest.raises(ReleaseError):
        RELEASE["source_epoch"](copy, {})
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(ReleaseError):
        RELEASE["build"](tmp_path / "full", copy, changed=True)
