"""Writes the software bill of materials (CycloneDX 1.6, JSON) from the lock files. Run: make sbom

Needs no network. What runs (requirements.lock) is required, `voice`, `whisper` and `postgres` are optional; tools that
only build or check are not in it. The files of others that the page holds are those that VENDORED lists. Licences are
those that the installed packages declare, where the very version of the lock is installed. The same locks and
packages give the same document, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
LOCKS: Final = {
    "requirements.lock": "required",
    "requirements-voice.lock": "optional",
    "requirements-postgres.lock": "optional",
}
VENDORED: Final = "src/microclaw/interfaces/page/static/vendor/vendored.toml"
NAMESPACE: Final = uuid.UUID("5f0f9f0e-2f0a-5b0c-9a43-6d6963726f63")
_ROW: Final = re.compile(
    r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\\n]+?))?\s*\\?\n"
    r"(?P<hashes>(?:\s+--hash=sha256:[0-9a-f]{64}\s*\\?\n?)+)",
    re.MULTILINE,
)
_LICENCE: Final = "License :: OSI Approved :: "


def bom(root: Path = ROOT) -> dict[str, Any]:
    """The document. ValueError for a lock with a row that has no version or no hash."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    components: dict[str, dict[str, Any]] = {}
    for lock, scope in LOCKS.items():
        for component in _components((root / lock).read_text(), lock, scope):
            components.setdefault(
                component["bom-ref"], component
            )  # in two locks: as the first one, which is needed more
    for component in _vendored((root / VENDORED).read_text()):
        components[component["bom-ref"]] = component
    direct = {_normalized(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in project["dependencies"]}
    found = sorted(components.values(), key=lambda one: one["bom-ref"])
    reference = f"pkg:pypi/{project['name']}@{project['version']}"
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": reference,
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": reference,
            }
        },
        "components": found,
        "dependencies": [
            {"ref": reference, "dependsOn": [one["bom-ref"] for one in found if one["name"] in direct]},
        ],
        "compositions": [{"aggregate": "complete", "assemblies": [reference]}],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, digest)}"
    return document


def _components(text: str, lock: str, scope: str) -> Iterator[dict[str, Any]]:
    rows = list(_ROW.finditer(text))
    if len(rows) != len(re.findall(r"^\w", text, re.MULTILINE)):
        raise ValueError(f"{lock}: a row has no version or no hash")
    for row in rows:
        name = _normalized(row["name"])
        version = row["version"]
        purl = f"pkg:pypi/{name}@{version.replace('+', '%2B')}"
        properties = [{"name": "microclaw:lock", "value": lock}]
        if row["marker"]:
            properties.append({"name": "microclaw:marker", "value": row["marker"]})
        hashes = sorted(re.findall(r"sha256:([0-9a-f]{64})", row["hashes"]))
        properties += [{"name": "microclaw:file:sha256", "value": one} for one in hashes]
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "scope": scope,
            "purl": purl,
            "properties": properties,
        }
        licences = _licences(name, version)
        if licences:
            component["licenses"] = licences
        yield component


def _vendored(text: str) -> Iterator[dict[str, Any]]:
    """The npm packages whose published files the page holds, alone or several joined in one file."""
    for one in tomllib.loads(text)["file"]:
        for name, version in (one.get("packages") or {one["package"]: one["version"]}).items():
            purl = f"pkg:npm/{name.replace('@', '%40')}@{version}"
            yield {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "scope": "required",
                "purl": purl,
                "properties": [
                    {"name": "microclaw:vendored", "value": one["path"]},
                    {"name": "microclaw:file:sha256", "value": one["sha256"]},
                ],
                "licenses": [{"expression": " AND ".join(sorted(set(one["licences"].values())))}],
            }


def _licences(name: str, version: str) -> list[dict[str, Any]]:
    """The licences that the installed package of this very version declares; nothing where it is not installed."""
    try:
        found = metadata(name)
    except PackageNotFoundError:
        return []
    if found["Version"] != version:
        return []
    expression = found["License-Expression"]
    if expression:
        return [{"expression": expression}]
    names = [line.removeprefix(_LICENCE) for line in found.get_all("Classifier", []) if line.startswith(_LICENCE)]
    text = (found["License"] or "").strip()
    if not names and text and "\n" not in text:
        names = [text]
    return [{"license": {"name": one}} for one in names]


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, help="the file; standard output when left out")
    options = parser.parse_args()
    text = json.dumps(bom(), indent=2, ensure_ascii=False) + "\n"
    if options.output is None:
        sys.stdout.write(text)
    else:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
