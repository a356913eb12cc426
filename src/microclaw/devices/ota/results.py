"""The results of firmware operations: releases, offers, rollouts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.devices.registry.selection import names_text
from microclaw.hardware.boards.firmware import UpdateFacts
from microclaw.host.operations.result import Listing, Result
from microclaw.host.store.firmware import ForeignRow, OfferRow, OfferState, ReleaseRow
from microclaw.host.store.rollouts import DeviceState, RolloutState
from microclaw.wire.host_api import StreamFailure

# The limit of one piece of a payload in a request.
MAX_PIECE_BYTES: Final = 1 << 20
_STEPS: Final[Mapping[OfferState, str]] = {
    "waiting": "was sent, the device has not answered yet",
    "offered": "was accepted",
    "downloading": "is being written",
    "verifying": "is written and is being checked",
    "staged": "is ready, the device restarts next",
    "rebooting": "makes the device restart",
    "trial": "runs on trial and is watched",
}
"""The present step of the device in each state that is not an end (docs/protocols/ota.md)."""


class UpdateKey(Result, frozen=True, kw_only=True):
    """A key that signs updates: `public` is the key as PEM, `n` its modulus as devices keep it."""

    document: ClassVar = "firmware-key"

    key_id: str
    name: str
    added_ms: int
    public: str
    n: str


class UpdateKeys(Listing, frozen=True, kw_only=True):
    document: ClassVar = "firmware-keys"
    columns: ClassVar = {"KEY": "key_id", "NAME": "name"}
    empty: ClassVar = "no key is known: microclaw firmware keygen"

    keys: list[UpdateKey]


class Releases(Listing, frozen=True, kw_only=True):
    """A list of releases. Manifest and signature are in base64; "" in the list of all."""

    document: ClassVar = "firmware-releases"
    columns: ClassVar = {
        "NO": "release_id",
        "VERSION": "version",
        "KIND": "kind",
        "NAME": "name",
        "BOARD": "boards",
        "CHANNEL": "channel",
        "STATE": "status",
    }
    empty: ClassVar = "nothing is published: microclaw firmware publish --help"

    releases: list[ReleaseRow]


class WithdrawnReleases(Result, frozen=True, kw_only=True):
    document: ClassVar = "firmware-withdrawn"

    releases: list[ReleaseRow]

    def lines(self) -> Iterable[str]:
        yield f"{self.releases[0].version} is withdrawn"


class PayloadWanted(Struct, frozen=True):
    """The missing part of a payload, from `offset` on; the signature of its manifest is correct."""

    sha256: str
    size_bytes: int
    offset: int


class Publication(Result, frozen=True, kw_only=True):
    """The result of publishing. With `wanted`, send that part of the payload, then the same request again."""

    wanted: PayloadWanted | None = None
    release: ReleaseRow | None = None


class PayloadOffset(Result, frozen=True, kw_only=True):
    """The number of bytes that are there."""

    offset: int


class OfferOutcome(Result, frozen=True, kw_only=True):
    """The offer to one device: one of `offer`, `already` (the version it runs) and `error`; `online`: connected now."""

    document: ClassVar = "firmware-cancelled"

    device: str
    offer: OfferRow | None = None
    already: str | None = None
    error: StreamFailure | None = None
    online: bool = False

    @property
    def is_done(self) -> bool:
        return self.already is not None or (self.offer is not None and self.offer.state == "healthy")

    @property
    def has_failed(self) -> bool:
        return self.error is not None or (self.offer is not None and self.offer.is_over and not self.is_done)

    @property
    def text(self) -> str:
        if self.error is not None:
            text = f"{self.device}: not offered: {self.error.message}"
            if self.error.next_step:
                text += f"; next: {self.error.next_step}"
            return text
        if self.offer is None:
            return f"{self.device}: runs {self.already} already"
        return f"{self.device}: {_offer_text(self.offer, online=self.online)}"


class OfferResults(Result, frozen=True, kw_only=True):
    """The offers of one version. The command ends with 1 if all devices failed, with 5 if some did."""

    document: ClassVar = "firmware-update"

    version: str
    results: list[OfferOutcome]

    @property
    def exit_code(self) -> int:
        if self._failed_count == 0:
            return 0
        if self._failed_count == len(self.results):
            return 1
        return 5

    def lines(self) -> Iterable[str]:
        done_count = sum(result.is_done for result in self.results)
        open_count = len(self.results) - self._failed_count - done_count
        text = f"{self.version}: healthy on {done_count} of {len(self.results)}, {self._failed_count} not updated"
        if open_count:
            text += f", {open_count} under way: microclaw firmware status"
        yield text

    @property
    def _failed_count(self) -> int:
        return sum(result.has_failed for result in self.results)


class UpdateStatus(Struct, frozen=True, kw_only=True):
    """The updates of one device. `runs` is from its last hello; None: it takes no updates.

    `absent`: offline for longer than a restart takes. `offer` is its newest offer of a firmware, `keys_offer` of keys;
    `not_ours` an update that it took from elsewhere.
    """

    device: str
    device_id: str
    online: bool
    absent: bool
    runs: UpdateFacts | None
    offer: OfferRow | None
    keys_offer: OfferRow | None
    not_ours: ForeignRow | None

    @property
    def cells(self) -> tuple[str, ...]:
        runs = self.runs
        foreign = self.not_ours
        if runs is None:
            return self.device, "", "", "", "", "takes no updates"
        updates = [_offer_text(offer, online=self.online) for offer in self._offers]
        if self.offer is None and foreign is not None:
            updates.append(f"{foreign.version} {foreign.state}, which is not ours")
        firmware = f"{runs.name} {runs.version}"
        board = f"{runs.board} {runs.revision}"
        return self.device, firmware, board, runs.channel, ", ".join(runs.keys), "; ".join(updates)

    @property
    def _offers(self) -> list[OfferRow]:
        return [offer for offer in (self.offer, self.keys_offer) if offer is not None]

    def step(self, version: str) -> str:
        """Return the present step of the update to this version, "" if none is under way."""
        if self.offer is None or self.offer.version != version or self.offer.is_over:
            return ""
        return _step_text(self.offer, online=self.online)

    def now(self, offer: OfferRow) -> OfferRow:
        """Return the offer in its present state; an offer that is no longer the newest was superseded."""
        for newest in self._offers:
            if newest.offer_id == offer.offer_id:
                return newest
        return replace(offer, state="idle", error="superseded")


class UpdateStatuses(Listing, frozen=True, kw_only=True):
    document: ClassVar = "firmware-status"
    columns: ClassVar = dict.fromkeys(("DEVICE", "FIRMWARE", "BOARD", "CHANNEL", "KEYS", "UPDATE"), "")
    empty: ClassVar = "no device has a link"
    row_device: ClassVar = "device"

    devices: list[UpdateStatus]

    def table(self) -> list[tuple[str, ...]]:
        return [status.cells for status in self.devices]


class RolloutBoard(Struct, frozen=True):
    """A device of a rollout. `step` is its present step in words; "" if no update is under way, and in lists."""

    device: str
    from_version: str
    state: DeviceState
    error: str
    offered_ms: int | None
    ended_ms: int | None
    step: str = ""


class RolloutFacts(Result, frozen=True, kw_only=True):
    """A rollout. `stage` counts from 1, `stages` are how many boards may update by the end of each.

    `counts` has a number for each state. `left_out`, only for a new rollout: each device that is not in it, with the
    reason. Lists have no `boards`.
    """

    document: ClassVar = "rollout"

    rollout: int
    version: str
    channel: str
    undoes: int | None
    began_ms: int
    began_by: str
    state: RolloutState
    reason: str
    stage: int
    stages: tuple[int, ...]
    soaking_since_ms: int | None
    crashes: int
    count: int
    counts: dict[DeviceState, int]
    failures: list[RolloutBoard]
    boards: list[RolloutBoard] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.state not in ("running", "paused") and not self.counts["offered"]

    @property
    def standing(self) -> str:
        parts: list[str] = [self.state]
        if self.undoes:
            parts.append(f"reverts {self.undoes}")
        if not self.is_over:
            parts.append(f"stage {self.stage} of {len(self.stages)}")
        if self.soaking_since_ms is not None and self.state == "running":
            parts.append("soaking")
        return ", ".join(parts)

    @property
    def boards_text(self) -> str:
        text = f"{self.counts['healthy']} of {self.count} healthy"
        if self.counts["offered"]:
            text += f", {self.counts['offered']} under way"
        return text

    def lines(self) -> Iterable[str]:
        for name, reason in self.left_out.items():
            yield f"left out: {name}: {reason}"
        head = f"rollout {self.rollout} of {self.version}: {self.standing}, {self.boards_text}"
        yield f"{head}; {self.reason}" if self.reason else head
        by_reason: dict[str, list[str]] = {}
        for board in self.failures:
            by_reason.setdefault(board.error or board.state, []).append(board.device)
        for reason, names in by_reason.items():
            yield f"   {names_text(names)}: {reason}"
        if not self.is_over:
            yield f"next: microclaw firmware rollouts {self.rollout} -f"
        if self.state == "halted":
            step = "publish a corrected version"
            if self.counts["healthy"] or self.counts["late"] or self.counts["offered"]:
                step = f"microclaw firmware rollouts {self.rollout} --do undo, or {step}"
            yield f"next: {step}"


class RolloutList(Listing, frozen=True, kw_only=True):
    document: ClassVar = "rollouts"
    columns: ClassVar = {
        "NO": "rollout",
        "VERSION": "version",
        "STATE": "standing",
        "BOARDS": "boards_text",
        "WHY": "reason",
    }
    empty: ClassVar = "no rollout yet; microclaw firmware rollout VERSION --all"

    rollouts: list[RolloutFacts]


def _offer_text(offer: OfferRow, *, online: bool) -> str:
    text = f"{offer.version} {_step_text(offer, online=online)}"
    if offer.error:
        text += f": {offer.error}"
    return text


def _step_text(offer: OfferRow, *, online: bool) -> str:
    """Return the last step that the device reported, or a text that says for what the offer waits."""
    step = _STEPS.get(offer.state, offer.state.replace("_", " "))
    if offer.state == "waiting" and not online:
        step = "waits until the device is connected"
    if offer.state == "downloading":
        step = f"{step}, {offer.progress:.0%}"
    return step
