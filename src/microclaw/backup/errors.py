"""Why a backup file cannot be read.

BackupError
├── NotABackup      it is something else
├── BackupNewer     it is of a later version than this program knows
├── BackupLocked    not with this password or key
├── BackupCut       its end is missing
└── BackupDamaged   it was changed, or holds what no backup holds
"""

from __future__ import annotations

from typing import ClassVar

from microclaw.errors import MicroclawError


class BackupError(MicroclawError):
    """`default_step` is the next step where a place gives none of its own."""

    code = "backup_error"
    default_step: ClassVar[str | None] = None

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step or self.default_step)


class NotABackup(BackupError):
    code = "not_a_backup"
    default_step = "name a file that microclaw backup made"


class BackupNewer(BackupError):
    code = "backup_newer"
    default_step = "install the microclaw that made it, or a later one"


class BackupLocked(BackupError):
    code = "backup_locked"


class BackupCut(BackupError):
    code = "backup_cut"
    default_step = "copy the file again, whole, or take an earlier backup"


class BackupDamaged(BackupError):
    code = "backup_damaged"
    default_step = "copy the file again, or take an earlier backup"
