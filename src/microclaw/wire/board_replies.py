"""The answers of a virtual board on its control socket: rows and pages of rows (declarations only). No IO.

A member of a JSON object is a field; a row (an edge, a log line) is a JSON array in the order of its fields. `more`:
ask again from `next`, and the rest comes at once. board_control.py has the requests, and reads and writes the lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from msgspec import Meta, Struct, field

from microclaw.wire.link import values

STACK_FULL = "the stack is full: "
NATIVE_FAILED = "the board's own function "  # ... NAME failed: why
"""How an app's error begins, and what stands in it, where a build for a trial says more than the firmware could."""
NO_NETWORK = "was not tried: this board has no network (microclaw virtual --network gives it one)"
"""How the board's line ends when a program wanted to reach someone."""
ABSENT = "this board has no "
"""How the board's line begins when a program wanted what a real board may have and this one has not."""
BROKEN_PART = "a part of this board failed: "
"""How the board's line begins when the model of a wired part failed: the fault is not the program's."""
PART_NOTE = "note on a part: "
"""How the board's line begins where a program asks more of a part than a real one does."""
FLOATING_PIN = "nothing holds the level of "
"""How the board's line begins when a program reads a pin that its part lets go of, and that no resistor pulls."""
WRITTEN_INPUT = " is an input: a level that is written to it moves nothing"
"""How that line goes on after the pin, where a program writes to a pin that it made an input."""
GPIO_ERROR = "E gpio: "
"""How the driver's line begins where a pin has not what a program asks of it."""

Whole: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53)]  # what every reader of JSON keeps exact
Number: TypeAlias = values.Finite


class EdgeRow(NamedTuple):
    t_ms: Number
    pin: Whole
    level: Whole


class LogRow(NamedTuple):
    t_ms: Number
    app: str | None
    text: str


class PwmRow(NamedTuple):
    t_ms: Number
    pin: Whole
    duty: Whole
    frequency_hz: Whole
    pulse_us: Number = 0.0


class PinRow(Struct, frozen=True):
    """`role` is idle, input, output or pwm; `duty` 0-255. `app` drives it; None: the outside or the JSON line does.

    `driver` is the program that had it as an output last, `mover` the one that changed its level as such; both stay
    when the program lets go of it. `opener` is the program that opened it last, for whatever role, and `opened_ms` the
    board's time when that program opened it first.
    """

    pin: Whole
    level: Whole
    role: str
    duty: Whole
    frequency_hz: Whole
    app: str | None
    driver: str | None = None
    mover: str | None = None
    opener: str | None = None
    opened_ms: float = 0.0


class AppRow(Struct, frozen=True):
    """`state` is loaded, running, returned, exited, trapped or stopped; `kind_of_end` is how it ended last.

    `longest_call_ms` is the board time that the firmware waited for one of its callbacks at most, `longest_main_ms` the
    same for what main does between two waits.
    `runs`, `missed` and `last_*` are those of one that the board runs at an interval or for a time; between two runs
    its state is `waiting`.
    """

    name: str
    state: str
    error: str | None
    heap_bytes: Whole
    peak_heap_bytes: Whole
    peak_stack_bytes: Whole
    pins: tuple[Whole, ...]
    kind_of_end: str | None
    longest_call_ms: Number = 0.0
    kind: str = "wasm"
    runs: Whole = 0
    missed: Whole = 0
    last_how: str | None = None
    last_took_ms: Whole = 0
    longest_main_ms: Number = 0.0


class BoardInfo(Struct, frozen=True):
    name: str
    board: str
    chip: str
    clock: str
    generation: str
    boot: Whole
    boot_id: str
    powered: bool
    now_ms: Number
    wasmachine: Whole
    serial: Whole | None
    pty: str | None
    pid: Whole


class PinTable(Struct, frozen=True):
    pins: tuple[PinRow, ...]


class EdgePage(Struct, frozen=True):
    """Edges in the order of their numbers, which end before `next`. `boot_edge` is the first number of this boot."""

    rows: tuple[EdgeRow, ...] = field(name="edges")
    next: Whole
    dropped: Whole
    now_ms: Number
    boot_edge: Whole
    more: bool = False


class LogPage(Struct, frozen=True):
    rows: tuple[LogRow, ...] = field(name="lines")
    next: Whole
    dropped: Whole
    more: bool = False


class LedRow(NamedTuple):
    """The colours that the addressable LEDs on a pin were sent, in hex: green, red, blue of each."""

    t_ms: Number
    pin: Whole
    data: str


class ShownRow(NamedTuple):
    """A value that a wired part shows from then on, as the steps of a motor: the part's id, and the value's name."""

    t_ms: Number
    part: str
    name: str
    value: Number


ScreenKind: TypeAlias = Literal["pixels", "colors", "text", "digits"]


class ScreenRow(NamedTuple):
    """A picture that a display shows from then on, as hardware/screens/screen.py has it; `data`: zlib in base64."""

    t_ms: Number
    part: str
    kind: ScreenKind
    width: Whole
    height: Whole
    data: str
    mark: str


TrafficKind: TypeAlias = Literal["asked", "published", "received", "lost", "answered", "closed", "unknown", "listening"]
"""What a row of the network's traffic is about.

asked: a program asked a server ("GET api.example.org/x"). published: it sent a message (its topic) to a broker.
received, lost: a message came to it, or to nobody. answered: its own server answered ("GET :80/led/on").
closed: nothing took the connection of such a request. unknown: a host, or a path of one, that no line answers for.
listening: it opened a port (":80").
"""


class TrafficRow(NamedTuple):
    """What was said on the board's network; `text` is the beginning of the body.

    `request` is the number of the request that was answered, or found the port closed; None in other rows.
    """

    t_ms: Number
    kind: TrafficKind
    what: str
    status: Whole | None
    text: str
    request: Whole | None = None


Row = TypeVar("Row", PwmRow, LedRow, ShownRow, ScreenRow, TrafficRow)


class ChangePage(Struct, Generic[Row], frozen=True):
    rows: tuple[Row, ...] = field(name="changes")
    next: Whole
    dropped: Whole
    more: bool = False


PwmPage: TypeAlias = ChangePage[PwmRow]
LedPage: TypeAlias = ChangePage[LedRow]
ShownPage: TypeAlias = ChangePage[ShownRow]
ScreenPage: TypeAlias = ChangePage[ScreenRow]
TrafficPage: TypeAlias = ChangePage[TrafficRow]


class PartScreen(Struct, frozen=True):
    """The picture that a display shows now, as hardware/screens/screen.py has it; `data`: zlib in base64."""

    kind: ScreenKind
    width: Whole
    height: Whole
    data: str
    mark: str


class PartStateRow(Struct, frozen=True, omit_defaults=True):
    """The present state of a wired part: what is set from outside, what it measures and what it shows, by name.

    A value that nothing knows is left out: all of them if the part failed. `colors` are those of addressable LEDs, in
    hex: red, green, blue of each.
    """

    part: str
    values: Mapping[str, Number] = {}
    screen: PartScreen | None = None
    colors: str | None = None


class PartPage(Struct, frozen=True):
    """The states of parts and pins whose changes have numbers below `next`. `boot_id` is that of the boot."""

    parts: tuple[PartStateRow, ...]
    pins: tuple[PinRow, ...]
    next: Whole
    now_ms: Number
    powered: bool
    boot_id: str
    more: bool = False


class PyAnswer(Struct, frozen=True):
    """The answer of the runner of `py` programs: a JSON value."""

    value: Any


class AppListReply(Struct, frozen=True):
    apps: tuple[AppRow, ...]


class AdvanceResult(Struct, frozen=True):
    """`idle`: nothing can ever happen again; `stuck` names an app that spun without giving up the CPU.

    `cpu_s` is the CPU time that the board's process used for it.
    """

    now_ms: Number
    idle: bool
    stuck: str | None
    cpu_s: float


class BoardLinkStatus(Struct, frozen=True):
    """`state` is off, connecting, waiting, pairing, connected or refused; `code` is the pairing code shown.

    `notified` counts notifications ever shown, `notifications` are the last of them; `ui` the present ui_state.
    """

    state: str
    url: str
    device_id: str | None = None
    code: str | None = None
    host: str | None = None
    error: str | None = None
    rtt_ms: Number | None = None
    outbox: Whole = 0
    refused_events: Whole = 0
    dropped: Whole = 0
    notified: Whole = 0
    notifications: tuple[str, ...] = ()
    ui: tuple[str, ...] = ()


class SpeakerState(Struct, frozen=True):
    """The board's speech. `heard` are the host's transcripts, `said` the texts of its speech, the last ones.

    Counted since boot: `glitches` (gaps while it spoke) and frames that came for no stream (`stale`). `answer_ms` is
    from the end of what was said last to the first sample that was played after it, 0 before that; `cut_ms` from the
    opening of the microphone to the last sample that was played, when that interrupted the speaker.
    """

    listening: bool
    speaking: bool
    heard: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    glitches: Whole = 0
    stale: Whole = 0
    answer_ms: Whole = 0
    cut_ms: Whole = 0


class Done(Struct, frozen=True):
    now_ms: Number
