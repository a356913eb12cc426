"""Finds the files for boards: firmware/ in a checkout, packaged in a wheel, and the modules that parts add to them."""

from __future__ import annotations

from pathlib import Path

from microclaw.errors import ConfigError
from microclaw.hardware.parts.reader import Part, part_folders, parts, quantities


def firmware_folder() -> Path:
    """Return the folder with main.py and fw/. Raises ConfigError if the installation lacks it."""
    package = Path(__file__).parents[1]
    for folder in (package / "firmware_files", package.parents[1] / "firmware"):
        if (folder / "main.py").exists():
            return folder
    raise ConfigError("the files for boards are not installed", next_step="install microclaw again")


def part_modules() -> dict[str, str]:
    """Return the sources of the modules that firmware/fw/sensors.py loads, by their names on a board.

    `part_NAME` is the reading.py of a part. `part_table` has a row for each of them: name, I2C addresses with the usual
    one first, quantities with their field in a reading.
    """
    modules = {}
    rows = []
    for folder in part_folders():
        reading = folder / "reading.py"
        if reading.exists():
            modules[f"part_{folder.name}"] = reading.read_text(encoding="utf-8")
            rows.append(f"    {_table_row(parts()[folder.name])!r},\n")
    modules["part_table"] = f'"""The parts that can be read."""\n\nROWS = (\n{"".join(rows)})\n'
    return modules


def write_part_modules(folder: Path) -> None:
    """Write the modules of parts into a folder, which is made; they are not synced to disk."""
    folder.mkdir(exist_ok=True, parents=True)
    for name, source in part_modules().items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")


def _table_row(part: Part) -> str:
    if part.i2c is None:
        text = f"{part.name}/reading.py: the part has no I2C address"
        raise ConfigError(text, next_step="add [i2c] to its part.toml")
    addresses = ",".join(map(str, part.i2c.addresses))
    fields = ",".join(f"{name}={quantities()[name].reading}" for name in part.measures)
    return f"{part.name} {addresses} {fields}"
