"""Updates of xiaozhi's firmware: one image that a person said yes to, for one device, and what came of it.

The firmware verifies no signature and asks for no update by itself; it compares versions at its start and fetches what
the answer names. So what is offered here is what was agreed to, byte by byte, and is never older. It speaks no HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from microclaw.audit import AuditEvent, AuditKind, Record
from microclaw.errors import ConfigError
from microclaw.store.xiaozhi import UpdateState, XiaozhiReportRow, XiaozhiTable, XiaozhiUpdateRow
from microclaw.voice.xiaozhi.firmware_images import FirmwareImage, checked_image, newest_image
from microclaw.wire.xiaozhi import Report

AGREED_MS: Final = 24 * 3_600_000
"""How long a yes waits for the device's next start."""
FETCHING_MS: Final = 3_600_000
UNKNOWN_MS: Final = 600_000
"""After the whole image was fetched: writing it and starting take a minute."""
MAX_OFFERS: Final = 3
MAX_TOKENS: Final = 64
MAX_FETCHING: Final = 4
"""Images are read whole, so that what goes out is what was checked."""
MAX_DOWNLOADS: Final = 3
"""Of one address: what went out whole may be in nobody's hands, so it opens again until the device's next start."""
_UNDER_WAY: Final = ("agreed", "offered", "fetched")


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """What a device runs, what it could have (`image`, or `problem` with why not), and how its update stands."""

    report: XiaozhiReportRow | None
    image: FirmwareImage | None
    problem: ConfigError | None
    update: XiaozhiUpdateRow | None
    obstacle: ConfigError | None = None
    """Why the image of an update that waits cannot be given out any more."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the device is told; `token` is the last part of the image's address."""

    version: str
    token: str


@dataclass(frozen=True, slots=True)
class _Fetch:
    device_id: str
    sha256: str
    until_ms: int
    downloads: int = 0


class Updates:
    """`folder` None: nothing is offered. `record` takes what the security log has of it."""

    def __init__(self, table: XiaozhiTable, folder: Path | None, *, now_ms: Callable[[], int], record: Record) -> None:
        self._table = table
        self._folder = folder
        self._now_ms = now_ms
        self._record = record
        self._fetches: OrderedDict[str, _Fetch] = OrderedDict()  # by token, in memory: a start asks for a new one
        self._fetching = 0
        self._changing = asyncio.Lock()

    # What a person decides

    async def plan(self, device_id: str) -> UpdatePlan:
        """Reads the folder; raises StoreError alone."""
        report, update = await self._table.report(device_id), await self._table.update(device_id)
        image, problem, obstacle = None, None, None
        if report is not None and self._folder is not None:
            try:
                image = await asyncio.to_thread(newest_image, self._folder, report)
            except ConfigError as exc:
                problem = exc
        if report is not None and update is not None and update.state in ("agreed", "offered"):
            try:
                await self._image(update, report)
            except ConfigError as exc:
                obstacle = exc
        return UpdatePlan(report, image, problem, update, obstacle)

    async def check(self, device_id: str, version: str, sha256: str) -> FirmwareImage:
        """The image that a person was shown, as it is there now. ConfigError when nothing or another one is there."""
        if self._folder is None:
            raise ConfigError(
                "this host has no folder with images",
                next_step="microclaw config set voice.xiaozhi_firmware FOLDER, then start the host again",
            )
        plan = await self.plan(device_id)
        if plan.problem is not None:
            raise plan.problem
        if plan.report is None:
            raise ConfigError(
                "this device has not said yet what it runs", next_step="start it once while the host runs"
            )
        if plan.image is None:
            raise ConfigError(
                f"there is nothing newer than {plan.report.version} for {plan.report.board}",
                next_step=f"put {plan.report.board}-VERSION.bin into the folder voice.xiaozhi_firmware",
            )
        if (plan.image.version, plan.image.sha256) != (version, sha256):
            raise ConfigError("another image is there than the one that was shown", next_step="look again, then decide")
        return plan.image

    async def agree(self, device_id: str, version: str, sha256: str, *, by: str, device: str) -> XiaozhiUpdateRow:
        """A person lets the device take this very image at its next start."""
        async with self._changing:
            image = await self.check(device_id, version, sha256)
            report = await self._table.report(device_id)
            assert report is not None
            now_ms = self._now_ms()
            row = XiaozhiUpdateRow(device_id, image.file, sha256, report.version, version, now_ms, "agreed", 0, now_ms)
            self._forget_tokens(device_id)
            await self._table.put_update(row)
        text = f"may go from {row.from_version} to {version}, {sha256[:12]}"
        self._record(AuditEvent(AuditKind.FIRMWARE_ALLOWED, text, about=device, by=by))
        return row

    async def cancel(self, device_id: str) -> XiaozhiUpdateRow | None:
        """Take the yes back; what was fetched already is the device's. The update that ended, if there was one."""
        async with self._changing:
            self._forget_tokens(device_id)
            update = await self._table.update(device_id)
            if update is None or update.state not in ("agreed", "offered"):
                return None
            await self._table.drop_update(device_id)
            return update

    # What a device does

    async def started(self, device_id: str, device: str, report: Report) -> Offer | None:
        """A device that was let in has started: keep what it says, judge its update, and what it may fetch now.

        One that says nothing of itself changes nothing, and is offered nothing.
        """
        if not report.is_told:
            return None
        now_ms = self._now_ms()
        row = XiaozhiReportRow(device_id, report.board_name, report.chip, report.version, report.slot_bytes, now_ms)
        async with self._changing:
            await self._table.put_report(row)
            update = await self._table.update(device_id)
            if update is None or update.state not in _UNDER_WAY:
                return None
            self._forget_tokens(device_id)
            state, reason = judged(update, row, now_ms)
            if state == "offered":
                try:
                    await self._image(update, row)
                except ConfigError as exc:
                    state, reason = "failed", exc.message
            offers = update.offers + (state == "offered")
            update = replace(update, state=state, reason=reason, offers=offers, changed_ms=now_ms)
            await self._table.put_update(update)
            if state != "offered":
                text = f"{state}: {reason}"
                self._record(AuditEvent(AuditKind.FIRMWARE_ENDED, text, about=device))
                return None
            token = secrets.token_urlsafe(24)
            self._fetches[token] = _Fetch(device_id, update.sha256, now_ms + FETCHING_MS)
            while len(self._fetches) > MAX_TOKENS:
                self._fetches.popitem(last=False)
            return Offer(update.version, token)

    async def begin(self, token: str) -> tuple[str, FirmwareImage] | None:
        """The device's id and the image of an address, MAX_DOWNLOADS times; None opens nothing."""
        fetch = self._fetches.get(token)
        if (
            fetch is None
            or fetch.until_ms < self._now_ms()
            or fetch.downloads >= MAX_DOWNLOADS
            or self._fetching >= MAX_FETCHING
        ):
            return None
        self._fetching += 1
        self._fetches[token] = replace(fetch, downloads=fetch.downloads + 1)
        try:
            update, report = await self._table.update(fetch.device_id), await self._table.report(fetch.device_id)
            is_open = update is not None and update.state in ("offered", "fetched") and update.sha256 == fetch.sha256
            if update is not None and report is not None and is_open:
                return fetch.device_id, await self._image(update, report)
        except BaseException:
            self._fetching -= 1
            raise
        self._fetching -= 1
        return None

    async def end(self, device_id: str, *, whole: bool) -> None:
        """The request of `begin` is over; `whole` when every byte went out. Who has them only the next start tells."""
        self._fetching -= 1
        if not whole:
            return
        async with self._changing:
            update = await self._table.update(device_id)
            if update is not None and update.state == "offered":
                await self._table.put_update(replace(update, state="fetched", changed_ms=self._now_ms()))

    async def _image(self, update: XiaozhiUpdateRow, report: XiaozhiReportRow) -> FirmwareImage:
        """What was agreed to, read anew. ConfigError when it is not there any more, or is another one."""
        if self._folder is None:
            raise ConfigError("the folder voice.xiaozhi_firmware is not set any more", next_step="set it again")
        image = await asyncio.to_thread(checked_image, self._folder, update.file, update.version, report)
        if image.sha256 != update.sha256:
            text = f"the file changed: {update.file} is not the file any more that was agreed to"
            raise ConfigError(text, next_step="decide again")
        return image

    def _forget_tokens(self, device_id: str) -> None:
        for token in [token for token, fetch in self._fetches.items() if fetch.device_id == device_id]:
            del self._fetches[token]

    # What is told

    def to_json(self, plan: UpdatePlan) -> dict[str, Any]:
        """For people: what it runs, what is there for it, and how its last update stands."""
        image, update, report = plan.image, plan.update, plan.report
        return {
            "board": None if report is None else report.board,
            "chip": None if report is None else report.chip,
            "version": None if report is None else report.version,
            "reported_ms": None if report is None else report.at_ms,
            "folder": self._folder is not None,
            "newer": None if image is None else {"version": image.version, "file": image.file, "sha256": image.sha256},
            "problem": None if plan.problem is None else f"{plan.problem.message} (next: {plan.problem.next_step})",
            "update": None if update is None else self._update_object(update, plan.obstacle),
        }

    def _update_object(self, update: XiaozhiUpdateRow, obstacle: ConfigError | None) -> dict[str, Any]:
        now_ms = self._now_ms()
        state: str = update.state
        text = update.reason
        if state in ("agreed", "offered") and now_ms - update.agreed_ms > AGREED_MS:
            state, text = "failed", _EXPIRED
        elif obstacle is not None:
            state, text = "failed", obstacle.message
        elif state == "fetched":
            is_late = now_ms - update.changed_ms > UNKNOWN_MS
            state = "outcome_unknown" if is_late else state
            text = "the whole image was sent, and the device has not said since what it runs"
        elif state in ("agreed", "offered"):
            text = "it is offered at the device's next start: switch it off and on"
        return {
            "from": update.from_version,
            "version": update.version,
            "file": update.file,
            "sha256": update.sha256,
            "state": state,
            "text": text,
            "changed_ms": update.changed_ms,
        }


_EXPIRED: Final = f"the device did not fetch it within {AGREED_MS // 3_600_000} hours of the yes"


def judged(update: XiaozhiUpdateRow, report: XiaozhiReportRow, now_ms: int) -> tuple[UpdateState, str]:
    """What the version that a device reports at its start makes of its update, and why: pure.

    An image that was fetched whole is never offered again: one that does not start would be tried for ever.
    """
    if report.version == update.version:
        fetched = "" if update.state == "fetched" else ", though it was not seen to fetch it here"
        return "verified", f"the device reports {report.version}{fetched}"
    if update.state == "fetched":
        return "failed", (
            f"{update.version} was sent whole, and it reports {report.version or 'no version'}: it broke off, refused "
            "the image, or went back to the one before"
        )
    if now_ms - update.agreed_ms > AGREED_MS:
        return "failed", _EXPIRED
    if report.version != update.from_version:
        return "failed", f"it reports {report.version or 'no version'}, and the yes was for {update.from_version}"
    if update.offers >= MAX_OFFERS:
        return "failed", f"it was offered {MAX_OFFERS} times and never fetched whole"
    return "offered", ""
