"""Take back what was changed: newest first, each undo itself a change in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from microclaw.apps.change import Change, DeviceAction, PutApp, RemoveApp, SetLevel, SetPwm
from microclaw.apps.deploy import Deployer
from microclaw.apps.explore import Explorer
from microclaw.apps.ledger import Ledger
from microclaw.bus.events import Evidence, Report, Step
from microclaw.errors import DeployRejected, UnknownName

_LOOK_BACK = 500


@dataclass(frozen=True, slots=True)
class Undone:
    """The change that was taken back, the change that did it, and how that is known."""

    undone: Change
    by: Change
    text: str
    evidence: Evidence


class Undo:
    """`Undo(ledger=..., deployer=..., explorer=...)`"""

    def __init__(self, *, ledger: Ledger, deployer: Deployer, explorer: Explorer) -> None:
        self._ledger = ledger
        self._deployer = deployer
        self._explorer = explorer
        self._one_at_a_time = asyncio.Lock()  # two at once would choose the same change

    async def changes(self, device_id: str | None = None, limit: int = 50) -> Sequence[Change]:
        """Changes newest first, of one device or of all."""
        return await self._ledger.changes(device_id, limit)

    async def undo(self, change_id: int | None = None, *, device_id: str | None = None, report: Report) -> Undone:
        """Take back one change: the named one, else the newest in force.

        Undoing an undo by its number redoes the change; without a number the walk goes back past it. Raises
        UnknownName when there is nothing to undo, DeployRejected when a newer change of the same app or pin is in
        force (undo that first), else what the deployer or the device raises.
        """
        async with self._one_at_a_time:
            return await self._undo(change_id, device_id, report)

    async def chosen(self, change_id: int | None = None, *, device_id: str | None = None) -> Change:
        """The change that `undo` would take back at this moment. Raises as `undo`."""
        if change_id is None:
            return _newest(await self._ledger.changes(device_id, _LOOK_BACK))
        change = await self._ledger.change(change_id)
        _check_undoable(change, await self._ledger.changes(change.device_id, _LOOK_BACK))
        return change

    async def _undo(self, change_id: int | None, device_id: str | None, report: Report) -> Undone:
        change = await self.chosen(change_id, device_id=device_id)
        if change.inverse is None:
            raise DeployRejected(
                f"change {change.change_id} ({change.summary}) cannot be undone: what was before it is not known",
                next_step="microclaw app undo NUMBER takes back an older one; list them: microclaw app changes",
            )
        by_id, evidence = await self._apply(change, change.inverse, report)
        text = f"undone: {change.summary} (change {change.change_id})"
        report(Step("undo", text))
        return Undone(await self._ledger.change(change.change_id), await self._ledger.change(by_id), text, evidence)

    async def _apply(self, change: Change, inverse: DeviceAction, report: Report) -> tuple[int, Evidence]:
        device, undoes = change.device_id, change.change_id
        match inverse:
            case RemoveApp(name=name):
                removal = await self._deployer.remove(device, name, report, undoes=undoes)
                return removal.change_id, removal.evidence
            case PutApp(name=name, version=version):
                deployment = await self._deployer.put_version(device, name, version, report, undoes=undoes)
                return deployment.change_id, deployment.evidence
            case SetLevel(pin=pin, level=level):
                acted = await self._explorer.set_pin(device, pin, level, undoes=undoes)
            case SetPwm(pin=pin, duty=duty, frequency_hz=frequency_hz):
                acted = await self._explorer.set_pwm(device, pin, duty, frequency_hz, undoes=undoes)
            case _:
                assert_never(inverse)
        return acted.change_id, acted.evidence


def in_force(change: Change) -> bool:
    """Done, not taken back, and a person's: what the keeper put back is no change of mind."""
    return change.state == "done" and change.undone_by is None and change.kind != "app.restore"


def _newest(history: Sequence[Change]) -> Change:
    by_id = {change.change_id: change for change in history}
    for change in history:
        if in_force(change) and not _goes_back(change, by_id):
            return change
    raise UnknownName("there is nothing to undo", next_step="see what runs: microclaw app list")


def _goes_back(change: Change, by_id: dict[int, Change]) -> bool:
    """True for an undo, False for a redo (the undo of an undo) and for everything else."""
    back = False
    while change.undoes is not None:
        back = not back
        earlier = by_id.get(change.undoes)
        if earlier is None:
            break
        change = earlier
    return back


def _check_undoable(change: Change, history: Sequence[Change]) -> None:
    if change.undone_by is not None:
        raise DeployRejected(
            f"change {change.change_id} ({change.summary}) was undone already, by change {change.undone_by}",
            next_step=f"redo it: microclaw app undo {change.undone_by}",
        )
    if not in_force(change):
        raise DeployRejected(
            f"change {change.change_id} ({change.summary}) is {change.state}: there is nothing to take back",
            next_step="list the changes: microclaw app changes",
        )
    by_id = {found.change_id: found for found in history}
    for newer in history:
        same = newer.change_id > change.change_id and newer.subject == change.subject
        if same and in_force(newer) and not _goes_back(newer, by_id):
            raise DeployRejected(
                f"change {newer.change_id} ({newer.summary}) came after it",
                next_step=f"undo that first: microclaw app undo {newer.change_id}",
            )
