"""Take back what was changed: newest first, each undo itself a change in the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from microclaw.apps.change import Change
from microclaw.apps.deploy import Deployer
from microclaw.apps.explore import Explorer
from microclaw.apps.ledger import Ledger
from microclaw.bus.events import Evidence, Report


@dataclass(frozen=True, slots=True)
class Undone:
    """The change that was taken back, the change that did it, and how that is known."""

    undone: Change
    by: Change
    text: str
    evidence: Evidence


class Undo:
    """`Undo(ledger=..., deployer=..., explorer=...)`"""

    def __init__(self, *, ledger: Ledger, deployer: Deployer, explorer: Explorer) -> None: ...

    async def changes(self, device_id: str | None = None, limit: int = 50) -> Sequence[Change]:
        """Changes newest first, of one device or of all."""
        raise NotImplementedError

    async def undo(self, change_id: int | None = None, *, device_id: str | None = None, report: Report) -> Undone:
        """Take back one change: the named one, else the newest in force.

        Undoing an undo by its number redoes the change; without a number the walk goes back past it. Raises
        UnknownName when there is nothing to undo, DeployRejected when a newer change of the same app or pin is in
        force (undo that first), else what the deployer or the device raises.
        """
        raise NotImplementedError
