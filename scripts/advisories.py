"""Checks the lock files against advisories in files (OSV's JSON, or zips of them). Fetches nothing.

Run: make advisories FILES="PyPI.zip ..."; exit code 0: none is about a locked version, 1: at least one is, 2: a file
cannot be read.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from microclaw.cli.advisories import Package, affected, normalized, read_advisories
from microclaw.errors import ConfigError

ROOT: Final = Path(__file__).parents[1]
_ROW: Final = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)", re.MULTILINE)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="OSV's JSON, or a zip of such files")
    parser.add_argument(
        "--lock", action="append", type=Path, help="a lock file; every requirements*.lock when left out"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args(arguments)
    locks = options.lock or sorted(ROOT.glob("requirements*.lock"))
    try:
        packages = [package for lock in locks for package in locked_packages(lock)]
        found = affected(packages, read_advisories(options.files))
    except ConfigError as exc:
        print(f"{exc.message}\nnext: {exc.next_step}", file=sys.stderr)
        return 2
    if options.json:
        print(
            json.dumps({"ok": not found, "packages": len(set(packages)), "vulnerable": [asdict(one) for one in found]})
        )
        return 1 if found else 0
    for one in found:
        known = f" ({', '.join(one.aliases)})" if one.aliases else ""
        fixed = f"mended in {', '.join(one.fixed)}" if one.fixed else "no version mends it"
        print(f"{one.name} {one.version}: {one.advisory_id}{known}, {fixed}: {one.summary}")
    print(f"{len(set(packages))} versions of {len(locks)} locks: {len(found) or 'no'} advisories are about them")
    return 1 if found else 0


def locked_packages(lock: Path) -> list[Package]:
    """The rows of a lock file. ConfigError for a file without one."""
    try:
        text = lock.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"the lock {lock} cannot be read: {exc}", next_step="name a requirements*.lock") from exc
    found = [Package(normalized(row["name"]), row["version"]) for row in _ROW.finditer(text)]
    if not found:
        raise ConfigError(f"the lock {lock} has no row NAME==VERSION", next_step="name a requirements*.lock")
    return found


if __name__ == "__main__":
    sys.exit(main())
