"""The codes by which a board of ours refuses an act on a program, with the errors that they are here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.errors import AppExists, AppNotFound, DeployRejected, ImageTooLarge, InvalidModule, TooManyApps

PROGRAM_ERRORS: Final[Mapping[str, type[DeployRejected]]] = {
    "app_exists": AppExists,
    "app_not_found": AppNotFound,
    "too_many_apps": TooManyApps,
    "invalid_module": InvalidModule,
    "too_large": ImageTooLarge,
}
"""The codes are those of docs/protocols/link-methods.md."""
