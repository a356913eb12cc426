"""The results of acts of firmware: releases, offers, rollouts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.boards.firmware import UpdateFacts
from microclaw.devices.selection import names_text
from microclaw.operations.result import Listing, Result
from microclaw.store.firmware import ForeignRow, OfferRow, OfferState, ReleaseRow
from microclaw.store.rollouts import DeviceState, RolloutState
from microclaw.wire.host_api import Failure

MAX_PIECE_BYTES: Final = 1 << 20  # of a payload, in a request
_STEPS: Final[Mapping[OfferState, str]] = {
    "waiting": "was sent, the device has not answered yet",
    "offered": "was accepted",
    "downloading": "is being written",
    "verifying": "is written and is being checked",
    "staged": "is ready, the device restarts next",
    "rebooting": "makes the device restart",
    "trial": "runs on trial and is watched",
}
"""What the device does in each state that is not an end (docs/protocols/ota.md)."""


class UpdateKey(Result, frozen=True, kw_only=True):
    """`public` is the key as PEM, `n` its modulus as devices keep it."""

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
    """Manifest and signature are in base64; "" in the list of all."""

    document: ClassVar = "firmware-releases"
    columns: ClassVar = {
        "NO": "release_id",
        "VERSION": "version",
        "KIND": "kind",
        "NAME": "name",
        "BOARD": "boards",
        "CHANNEL": "channel",
        "STATE": "standing",
    }
    empty: ClassVar = "nothing is published: microclaw firmware publish --help"

    releases: list[ReleaseRow]


class WithdrawnReleases(Result, frozen=True, kw_only=True):
    document: ClassVar = "firmware-withdrawn"

    releases: list[ReleaseRow]

    def lines(self) -> Iterable[str]:
        yield f"{self.releases[0].version} is withdrawn"


class PayloadWanted(Struct, frozen=True):
    """The signature is right, and the payload is missing from `offset` on."""

    sha256: str
    size_bytes: int
    offset: int


class Publication(Result, frozen=True, kw_only=True):
    """`wanted`: what of the payload is missing; then the same request again."""

    wanted: PayloadWanted | None = None
    release: ReleaseRow | None = None


class PayloadOffset(Result, frozen=True, kw_only=True):
    """So many bytes are there."""

    offset: int


class OfferOutcome(Result, frozen=True, kw_only=True):
    """One of `offer`, `already` (the version that it runs) and `error`; `online`: the device is connected now."""

    document: ClassVar = "firmware-cancelled"

    device: str
    offer: OfferRow | None = None
    already: str | None = None
    error: Failure | None = None
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
            if self.error.next_step:
                step = f"; next: {self.error.next_step}"
            else:
                step = ""
            return f"{self.device}: not offered: {self.error.message}{step}"
        if self.offer is None:
            return f"{self.device}: runs {self.already} already"
        return f"{self.device}: {_offer_text(self.offer, online=self.online)}"


class Offers(Result, frozen=True, kw_only=True):
    """The exit code of its command is 1 where it is on none of the devices, 5 where it failed on some."""

    document: ClassVar = "firmware-update"

    version: str
    results: list[OfferOutcome]

    @property
    def exit_code(self) -> int:
        failed = sum(one.has_failed for one in self.results)
        if failed == 0:
            return 0
        if failed == len(self.results):
            return 1
        return 5

    def lines(self) -> Iterable[str]:
        done = sum(one.is_done for one in self.results)
        failed = sum(one.has_failed for one in self.results)
        going_on = len(self.results) - failed - done
        if going_on:
            rest = f", {going_on} under way: microclaw firmware status"
        else:
            rest = ""
        yield f"{self.version}: healthy on {done} of {len(self.results)}, {failed} not updated{rest}"


class UpdateStatus(Struct, frozen=True, kw_only=True):
    """`runs`: what its last hello said; None: it takes no updates. `absent`: offline for longer than a restart takes.

    `offer` is its newest of a firmware, `keys_offer` of keys; `not_ours` an update that it took from elsewhere.
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
        theirs = self.not_ours
        if runs is None:
            return self.device, "", "", "", "", "takes no updates"
        offers = [offer for offer in (self.offer, self.keys_offer) if offer is not None]
        told = [_offer_text(offer, online=self.online) for offer in offers]
        if self.offer is None and theirs is not None:
            told.append(f"{theirs.version} {theirs.state}, which is not ours")
        board = f"{runs.board} {runs.revision}"
        keys = ", ".join(runs.keys)
        return self.device, f"{runs.name} {runs.version}", board, runs.channel, keys, "; ".join(told)

    def step(self, version: str) -> str:
        """Return what the device does for its update to this version, "" if nothing is under way."""
        if self.offer is None or self.offer.version != version or self.offer.is_over:
            return ""
        return _step_text(self.offer, online=self.online)

    def now(self, offer: OfferRow) -> OfferRow:
        """The state of that offer."""
        both = (one for one in (self.offer, self.keys_offer) if one is not None and one.offer_id == offer.offer_id)
        return next(both, replace(offer, state="idle", error="superseded"))


class UpdateStatuses(Listing, frozen=True, kw_only=True):
    document: ClassVar = "firmware-status"
    columns: ClassVar = dict.fromkeys(("DEVICE", "FIRMWARE", "BOARD", "CHANNEL", "KEYS", "UPDATE"), "")
    empty: ClassVar = "no device has a link"
    row_device: ClassVar = "device"

    devices: list[UpdateStatus]

    def table(self) -> list[tuple[str, ...]]:
        return [one.cells for one in self.devices]


class RolloutBoard(Struct, frozen=True):
    """A device of a rollout. `step` is what it does now, in words; "" if no update is under way, and in lists."""

    device: str
    from_version: str
    state: DeviceState
    error: str
    offered_ms: int | None
    ended_ms: int | None
    step: str = ""


class RolloutFacts(Result, frozen=True, kw_only=True):
    """`stage` counts from 1, `stages` are how many boards each goes up to; `counts` has a number for each state.

    `left_out`: the reason by the device that is not in it, where it was just begun. `boards` are left out of lists.
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
        if self.undoes:
            undoes = f", reverts {self.undoes}"
        else:
            undoes = ""
        if self.is_over:
            stage = ""
        else:
            stage = f", stage {self.stage} of {len(self.stages)}"
        soaking = ", soaking" if self.soaking_since_ms is not None and self.state == "running" else ""
        return f"{self.state}{undoes}{stage}{soaking}"

    @property
    def boards_text(self) -> str:
        if self.counts["offered"]:
            under_way = f", {self.counts['offered']} under way"
        else:
            under_way = ""
        return f"{self.counts['healthy']} of {self.count} healthy{under_way}"

    def lines(self) -> Iterable[str]:
        yield from (f"left out: {name}: {reason}" for name, reason in self.left_out.items())
        head = f"rollout {self.rollout} of {self.version}: {self.standing}, {self.boards_text}"
        yield "; ".join(filter(None, (head, self.reason)))
        by_reason: dict[str, list[str]] = {}
        for one in self.failures:
            by_reason.setdefault(one.error or one.state, []).append(one.device)
        yield from (f"   {names_text(names)}: {reason}" for reason, names in by_reason.items())
        if not self.is_over:
            yield f"next: microclaw firmware rollouts {self.rollout} -f"
        if self.state == "halted":
            has_it = any(self.counts[state] for state in ("healthy", "late", "offered"))
            if has_it:
                undo = f"microclaw firmware rollouts {self.rollout} --do undo, or "
            else:
                undo = ""
            yield f"next: {undo}publish a mended version"


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
    if offer.error:
        why = f": {offer.error}"
    else:
        why = ""
    return f"{offer.version} {_step_text(offer, online=online)}{why}"


def _step_text(offer: OfferRow, *, online: bool) -> str:
    """Return the step that the device has reported last, or that it has reported none."""
    step = _STEPS.get(offer.state, offer.state.replace("_", " "))
    if offer.state == "waiting" and not online:
        step = "waits until the device is connected"
    if offer.state == "downloading":
        step = f"{step}, {offer.progress:.0%}"
    return step
