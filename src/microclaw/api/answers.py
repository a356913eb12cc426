"""The forms of answers about tasks, devices, apps and changes, for the OpenAPI document.

A field may be added to any of them: a client leaves alone what it does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from microclaw.events import ProgramKind

Responses: TypeAlias = dict[int | str, dict[str, Any]]
FORM: Final = "x-form"


FORMS: Final[dict[str, type]] = {}  # all that a route names


def answers(form: type, status: int = 200) -> Responses:
    """`responses` of a route whose answer has this form; its schema is made when somebody asks for the document."""
    FORMS[form.__name__] = form
    return {status: {FORM: form.__name__}}


def filled(form: type, row: object, **more: Any) -> dict[str, Any]:
    """The fields of `form`: those of `more`, and the row's own of the same names."""
    return {name: more[name] if name in more else getattr(row, name) for name in form.__annotations__}


class LinkFacts(TypedDict):
    online: bool
    last_seen_ms: int | None
    address: str | None
    firmware: str | None
    rtt_ms: float | None
    connections: int
    rssi: Annotated[int | None, Field(description="In dBm")]
    refused_events: int | None
    updates: dict[str, Any] | None
    host: Annotated[str | None, Field(description="The other host of the cluster that it is connected to")]


class FirmwareFacts(TypedDict):
    """What is known of its firmware, described or from the board's profile."""

    described: list[str]
    native_groups: list[str]
    natives_added: list[str]
    natives_lacking: list[str]
    nodes: list[str]
    files: bool
    max_apps: int | None
    max_heap_bytes: int | None
    max_memory_bytes: int | None
    max_module_bytes: int | None
    max_timers: int | None
    attributes: int | str | bool | None


class DeviceFacts(TypedDict):
    device_id: str
    name: str
    board: str
    title: str
    chip: str
    transports: list[str]
    labels: list[str]
    capabilities: Annotated[list[str], Field(description="The methods that it can be called with")]
    kinds: list[ProgramKind]
    firmware: FirmwareFacts
    free_pins: list[int]
    power_cut: str
    voice_only: bool
    never_reached: bool
    link: Annotated[LinkFacts | None, Field(description="null: it has no link to this host")]


class ListedDevice(DeviceFacts):
    revoked: bool


class LastValue(TypedDict):
    key: str
    unit: str | None
    value: float | str | bool
    at_ms: int


class PinFacts(TypedDict):
    """`reserved` and `caution` say why a pin is not to be used, or with care; `refused` why nothing may drive it."""

    pin: int
    name: Annotated[str | None, Field(description="What the board has wired to it")]
    labels: Annotated[list[str], Field(description="The names that the device's labels give it: pin-5=lamp")]
    uses: list[str]
    reserved: str | None
    caution: str | None
    refused: str | None


class HeaderPlace(TypedDict):
    label: Annotated[str, Field(description="What is printed there")]
    gpio: Annotated[int | None, Field(description="null: power, ground, reset")]


class HeaderRow(TypedDict):
    name: str
    side: Literal["left", "right"]
    pins: Annotated[list[HeaderPlace], Field(description="From the upper end to the lower")]


class BoardLayout(TypedDict):
    """The headers as they lie on the board, seen from above."""

    usb: Literal["top", "bottom"]
    headers: list[HeaderRow]
    source: str


class OneDevice(ListedDevice):
    """`today`: what works on such boards."""

    today: dict[str, Any] | None
    pins: list[PinFacts]
    layout: Annotated[
        BoardLayout | None, Field(description="null: how the pins lie is not known, or it has no headers")
    ]
    problem: str | None
    telemetry: list[LastValue]


class PendingPairing(TypedDict):
    address: str
    board: str
    seconds_left: float


class Devices(TypedDict):
    devices: list[ListedDevice]
    next: str | None  # where there are more: `after` of the next request
    pairings: list[PendingPairing]
