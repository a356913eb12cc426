"""Makes the files of a release, and uploads nothing (docs/releasing.md).

`release.py prepare VERSION --date YYYY-MM-DD` writes version and day into the files that name them and gives the
changelog's section `Unreleased` its heading. `release.py build -o DIR` makes the files: sdist, wheel, constraints, bill
of materials, MCP bundle, Home Assistant add-on, the changelog's section, and SHA256SUMS. The same commit gives the same
bytes: every time is SOURCE_DATE_EPOCH, else the commit's.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import runpy
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FIRST_ZIP_TIME: Final = 315_532_800  # 1980-01-01: a zip file knows no earlier time
VERSION: Final = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
PACKAGE: Final = "src/microclaw/__init__.py"
RELEASED: Final = r'(?m)^(__released__ = ")([^"]+)(")$'
# Each file that names the version, with the line that does.
NAMED_IN: Final = {
    "pyproject.toml": r'(?m)^(version = ")([^"]+)(")$',
    PACKAGE: r'(?m)^(__version__ = ")([^"]+)(")$',
    "packaging/home-assistant/config.yaml": r'(?m)^(version: ")([^"]+)(")$',
}


class ReleaseError(Exception):
    """A release cannot be made; the text says why and what to do."""


def version_of(root: Path = ROOT) -> str:
    """The version. ReleaseError where the files do not agree."""
    found = {name: _named(root / name, pattern)[2] for name, pattern in NAMED_IN.items()}
    if len(set(found.values())) != 1:
        listed = ", ".join(f"{name} {version}" for name, version in found.items())
        raise ReleaseError(f"the version differs: {listed}. Next: scripts/release.py prepare VERSION --date DATE")
    return found["pyproject.toml"]


def prepare(version: str, day: str, root: Path = ROOT) -> None:
    """Write the version and the changelog's heading; nothing is written where a step cannot be done."""
    if not VERSION.fullmatch(version):
        raise ReleaseError(f"{version!r} is no version, as in 1.2.3 or 1.2.3rc1")
    try:
        date.fromisoformat(day)
    except ValueError as exc:
        raise ReleaseError(f"{day!r} is no date, as in 2026-01-31") from exc
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    if re.search(rf"(?m)^## {re.escape(version)}( |$)", text):
        raise ReleaseError(f"CHANGELOG.md has a section {version} already")
    if not section(text, "Unreleased"):
        raise ReleaseError("CHANGELOG.md has nothing under Unreleased. Next: write there what changed")
    texts = {root / name: _replaced(root / name, pattern, version) for name, pattern in NAMED_IN.items()}
    _named(root / PACKAGE, RELEASED)
    texts[root / PACKAGE] = re.sub(RELEASED, rf"\g<1>{day}\g<3>", texts[root / PACKAGE])
    texts[changelog] = text.replace("## Unreleased\n", f"## Unreleased\n\n## {version} - {day}\n", 1)
    for path, written in texts.items():
        path.write_text(written, encoding="utf-8")


def section(changelog: str, version: str) -> str:
    """The text under the heading of this version, "" where there is none."""
    found = re.search(rf"(?ms)^## {re.escape(version)}(?: - [0-9-]+)?\n(.*?)(?=^## |\Z)", changelog)
    if found:
        return found[1].strip()
    return ""


def source_epoch(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> int:
    """The time that all files get: SOURCE_DATE_EPOCH, else that of the last commit."""
    told = environ.get("SOURCE_DATE_EPOCH", "")
    if not told:
        told = _git(root, "log", "-1", "--format=%ct")
    if not told.isdigit():
        raise ReleaseError("the time of this source is not known. Next: set SOURCE_DATE_EPOCH, or work in a git clone")
    return int(told)


def build_packages(out: Path, epoch: int, root: Path = ROOT) -> tuple[Path, Path]:
    """The sdist of this tree, and the wheel made from that sdist alone."""
    sdist = _hatchling("sdist", root, out, epoch)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        return sdist, _hatchling("wheel", unpacked, out, epoch)


def build_wheel(out: Path, epoch: int, root: Path = ROOT) -> Path:
    """The wheel made from the tree itself."""
    return _hatchling("wheel", root, out, epoch)


def mcp_bundle(out: Path, wheel: Path, epoch: int, root: Path = ROOT) -> Path:
    """The .mcpb: the manifest, the wheel, and the versions of requirements.lock for the client's uv."""
    folder = root / "packaging" / "mcpb"
    version = version_of(root)
    manifest = {**json.loads((folder / "manifest.json").read_text(encoding="utf-8")), "version": version}
    locked = "".join(f"  {json.dumps(row)},\n" for row in _locked(root / "requirements.lock"))
    project = (folder / "pyproject.toml.in").read_text(encoding="utf-8")
    project = project.replace("@VERSION@", version).replace("@WHEEL@", wheel.name)
    files = {
        "manifest.json": (json.dumps(manifest, indent=2) + "\n").encode(),
        "pyproject.toml": project.replace("  # @CONSTRAINTS@\n", locked).encode(),
        "src/server.py": (folder / "server.py").read_bytes(),
        "LICENSE": (root / "LICENSE").read_bytes(),
        wheel.name: wheel.read_bytes(),
    }
    path = out / f"microclaw-{version}.mcpb"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            about = zipfile.ZipInfo(name, time.gmtime(max(epoch, FIRST_ZIP_TIME))[:6])
            about.compress_type = zipfile.ZIP_DEFLATED
            about.external_attr = 0o644 << 16
            archive.writestr(about, files[name])
    return path


def home_assistant_addon(out: Path, wheel: Path, epoch: int, root: Path = ROOT) -> Path:
    """A folder for Home Assistant's `addons`, as .tar.gz: what is in packaging/home-assistant, the wheel, the locks."""
    folder = root / "packaging" / "home-assistant"
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    for name in ("requirements.lock", "requirements-build.lock", "pyproject.toml", "scripts/setup_env.py"):
        files[name] = root / name
    files[wheel.name] = wheel
    path = out / f"microclaw-home-assistant-{version_of(root)}.tar.gz"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            data = files[name].read_bytes()
            about = tarfile.TarInfo(f"microclaw/{name}")
            about.size = len(data)
            about.mtime = epoch
            about.mode = 0o755 if name == "run.sh" else 0o644
            archive.addfile(about, io.BytesIO(data))
    path.write_bytes(gzip.compress(buffer.getvalue(), mtime=epoch))
    return path


def constraints(out: Path, root: Path = ROOT) -> Path:
    """The versions of requirements.lock for `-c`: pip would take hashes there for a wish to check the wheel's too."""
    path = out / "constraints.txt"
    path.write_text("".join(f"{row}\n" for row in _locked(root / "requirements.lock")), encoding="ascii")
    return path


def build(out: Path, root: Path = ROOT, *, changed: bool = False) -> list[Path]:
    """Every file of the release in `out`, which must be empty or absent; SHA256SUMS is the last one."""
    version = version_of(root)
    if out.exists() and any(out.iterdir()):
        raise ReleaseError(f"{out} is not empty. Next: give another folder, or empty it")
    if not changed and (touched := _git(root, "status", "--porcelain")):
        raise ReleaseError(
            f"not committed: {touched.splitlines()[0].strip()}. Next: commit it, or --changed for a trial"
        )
    notes = section((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    if not notes and not changed:
        raise ReleaseError(
            f"CHANGELOG.md has no section {version}. Next: scripts/release.py prepare {version} --date DATE"
        )
    epoch = source_epoch(root)
    out.mkdir(parents=True, exist_ok=True)
    sdist, wheel = build_packages(out, epoch, root)
    bom = out / f"microclaw-{version}.cdx.json"
    document = runpy.run_path(str(root / "scripts" / "sbom.py"))["bom"](root)
    bom.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    made = [sdist, wheel, bom, mcp_bundle(out, wheel, epoch, root), home_assistant_addon(out, wheel, epoch, root)]
    made.append(constraints(out, root))
    if notes:
        made.append(out / "NOTES.md")
        made[-1].write_text(notes + "\n", encoding="utf-8")
    sums = out / "SHA256SUMS"
    lines = sorted(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made)
    sums.write_text("".join(sorted(lines, key=lambda line: line[66:])), encoding="ascii")
    return [*made, sums]


def _hatchling(kind: str, tree: Path, out: Path, epoch: int) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out.resolve())]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ReleaseError(
            f"hatchling failed:\n{done.stdout}{done.stderr}\nNext: run it as make does, after make setup-dev"
        )
    (made,) = out.glob("*.tar.gz" if kind == "sdist" else "*-py3-none-any.whl")
    return made


def _locked(lock: Path) -> list[str]:
    """`name==version ; marker` of each row of a lock file."""
    return [row.removesuffix(" \\") for row in lock.read_text().splitlines() if re.match(r"\w", row)]


def _named(path: Path, pattern: str) -> re.Match[str]:
    found = re.findall(pattern, path.read_text(encoding="utf-8"))
    match = re.search(pattern, path.read_text(encoding="utf-8"))
    if match is None or len(found) != 1:
        raise ReleaseError(f"{path.name} does not name the version, or the day of the release, once")
    return match


def _replaced(path: Path, pattern: str, version: str) -> str:
    _named(path, pattern)
    return re.sub(pattern, rf"\g<1>{version}\g<3>", path.read_text(encoding="utf-8"))


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as exc:
        raise ReleaseError("git is not here. Next: install it, or set SOURCE_DATE_EPOCH and give --changed") from exc
    if done.returncode != 0:
        raise ReleaseError(f"git {words[0]}: {done.stderr.strip()}. Next: set SOURCE_DATE_EPOCH and give --changed")
    return done.stdout.strip()


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare", help="write the version and the changelog's heading")
    preparing.add_argument("version")
    preparing.add_argument("--date", required=True, help="YYYY-MM-DD")
    building = commands.add_parser("build", help="make the files")
    building.add_argument("-o", "--out", type=Path, required=True, help="an empty folder")
    building.add_argument("--changed", action="store_true", help="a trial: also with changes that are not committed")
    options = parser.parse_args(words)
    try:
        if options.command == "prepare":
            prepare(options.version, options.date)
            print(f"{options.version}: read the changes, commit them, then: make release OUT=DIR")
        else:
            for path in build(options.out, changed=options.changed):
                print(f"{path.stat().st_size:>12,}  {path}")
    except ReleaseError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
