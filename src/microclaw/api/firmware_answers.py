"""The forms of answers about firmware, its releases, offers and rollouts, for the OpenAPI document.

As in answers.py: a field may be added to any of them.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from microclaw.api.device_answers import FailureFacts
from microclaw.ota.manifest import Kind
from microclaw.store.firmware import OfferState
from microclaw.store.rollouts import DeviceState, RolloutState


class UpdateKey(TypedDict):
    """`public` is the key as PEM, `n` its modulus as devices keep it."""

    key_id: str
    name: str
    added_ms: int
    public: str
    n: str


class UpdateKeys(TypedDict):
    keys: list[UpdateKey]


class ReleaseFacts(TypedDict):
    """`board`, `channel` or `device`: who it is for; null where it is for each."""

    release: int
    kind: Kind
    name: str
    board: str | None
    revisions: list[str]
    channel: str | None
    device: str | None
    version: str
    security_version: int
    allow_downgrade: bool
    sha256: str | None
    size_bytes: int
    key_id: str
    created: str
    expires: str
    published_ms: int
    published_by: str
    withdrawn_ms: int | None


class Releases(TypedDict):
    releases: list[ReleaseFacts]


class ShownRelease(ReleaseFacts):
    manifest: str
    signature: Annotated[str, Field(description="In hexadecimal")]


class ShownReleases(TypedDict):
    releases: list[ShownRelease]


class MissingPayload(TypedDict):
    sha256: str
    size_bytes: int
    offset: int


class Publication(TypedDict):
    """`wanted`: the payload is missing from this offset on; then the same request again."""

    state: Literal["wanted", "published"]
    wanted: MissingPayload | None
    release: ReleaseFacts | None


class PayloadOffset(TypedDict):
    offset: Annotated[int, Field(description="So many bytes are there")]


class WithdrawnReleases(Releases):
    called_off: Annotated[list[str], Field(description="Devices that are told to give it up")]


class OfferFacts(TypedDict):
    """`progress` from 0 to 1; `over`: it has ended."""

    offer: int
    release: int
    version: str
    state: OfferState
    progress: float
    error: str | None
    over: bool
    offered_ms: int
    changed_ms: int
    offered_by: str


class OfferToOne(TypedDict):
    """One of `offer`, `already` (the version that it runs) and `error`."""

    device: str
    offer: NotRequired[OfferFacts | None]
    already: NotRequired[str | None]
    error: NotRequired[FailureFacts | None]


class OffersMade(TypedDict):
    version: str
    results: list[OfferToOne]


class OfferCancelled(TypedDict):
    device: str
    offer: OfferFacts


class RunningFirmware(TypedDict):
    name: str
    version: str


class ForeignUpdate(TypedDict):
    """An update that the device took from elsewhere."""

    version: str
    state: str
    error: str | None
    changed_ms: int


class UpdateStatus(TypedDict):
    device: str
    device_id: str
    online: bool
    takes_updates: bool
    firmware: RunningFirmware | None
    board: str | None
    revision: str | None
    channel: str | None
    kinds: list[str]
    keys: list[str]
    security_version: int | None
    offer: OfferFacts | None
    keys_offer: OfferFacts | None
    not_ours: ForeignUpdate | None


class UpdateStatuses(TypedDict):
    devices: list[UpdateStatus]


class RolloutFailure(TypedDict):
    device: str
    state: DeviceState
    error: str


class RolloutFacts(TypedDict):
    """`stage` counts from 1, `stages` are how many boards each goes up to; `counts` has a number for each state."""

    rollout: int
    version: str
    channel: str
    undoes: int | None
    began_ms: int
    began_by: str
    state: RolloutState
    reason: str
    stage: int
    stages: list[int]
    soaking_since_ms: int | None
    crashes: int
    count: int
    counts: dict[DeviceState, int]
    window: str | None
    failures: list[RolloutFailure]


class RolloutList(TypedDict):
    rollouts: list[RolloutFacts]


class RolloutBoard(RolloutFailure):
    from_version: str
    offered_ms: int | None
    ended_ms: int | None


class OneRollout(RolloutFacts):
    boards: list[RolloutBoard]


class LeftOut(TypedDict):
    device: str
    reason: str


class BegunRollout(RolloutFacts):
    left_out: list[LeftOut]
