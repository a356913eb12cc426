"""Finds the folder of the files for boards: firmware/ in a checkout, packaged in a wheel."""

from __future__ import annotations

from pathlib import Path

from microclaw.errors import ConfigError


def firmware_folder() -> Path:
    """Return the folder with main.py and fw/. Raises ConfigError if the installation lacks it."""
    package = Path(__file__).parents[1]
    for folder in (package / "firmware_files", package.parents[1] / "firmware"):
        if (folder / "main.py").exists():
            return folder
    raise ConfigError("the files for boards are not installed", next_step="install microclaw again")
