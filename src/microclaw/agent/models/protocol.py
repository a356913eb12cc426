"""The interface of all language models: one request, one reply, tools as JSON schema. It knows no provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from microclaw.events import Choice, ProgramKind, Usage
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.named_parts import NamedPin
from microclaw.hardware.parts.wiring import Wiring, wiring_of_board
from microclaw.host.config.settings import ModelTask


class KnownApp(Struct, frozen=True):
    """A program this host put on a device: the pins it drives, reads, and uses otherwise (a bus, or only named)."""

    name: str
    pins: tuple[int, ...] = ()
    reads: tuple[int, ...] = ()
    uses: tuple[int, ...] = ()
    since_ms: int = 0

    def role_of(self, pin: int) -> str | None:
        """ "driven", "read" or "used"; None for a pin that is not its own."""
        roles = (("driven", self.pins), ("read", self.reads), ("used", self.uses))
        return next((role for role, pins in roles if pin in pins), None)


class KnownDevice(Struct, frozen=True):
    name: str
    board: BoardProfile
    apps: tuple[KnownApp, ...] = ()
    # Kinds of programs; the preferred kind is first.
    kinds: tuple[ProgramKind, ...] = ("wasm",)
    labels: tuple[str, ...] = ()
    # Programs that are stored and not installed.
    stopped: tuple[str, ...] = ()
    record: Wiring = Wiring()
    # It is not connected, or did not answer.
    away: bool = False

    @property
    def wiring(self) -> Wiring:
        """The parts that hang at it."""
        return wiring_of_board(self.record, self.board)


class DeviceContext(Struct, frozen=True):
    """Every device; `meant` is the device of a sentence without a name: the chat's device, or the only one.

    `names` are the names of pins: those that the person asked to remember, then those of the devices' parts.
    """

    devices: tuple[KnownDevice, ...] = ()
    meant: KnownDevice | None = None
    names: tuple[NamedPin, ...] = ()


class ToolSpec(Struct, frozen=True):
    """A tool as a model sees it; `schema` is a JSON schema document as text."""

    name: str
    description: str
    schema: str


class ToolCall(Struct, frozen=True):
    """A call the model asks for; `arguments` is JSON text, exactly as the model wrote it."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ImageInput:
    """A picture for a model that can see; `data` in the form that `media_type` names."""

    media_type: str
    data: bytes = field(repr=False)


class UserText(Struct, frozen=True):
    """A person's words. `note` is the host's, for the model: it stands before them, and no conversation keeps it."""

    text: str
    images: tuple[ImageInput, ...] = ()
    note: str = ""


class AssistantReply(Struct, frozen=True):
    text: str
    calls: tuple[ToolCall, ...] = ()
    # ModelReply.question, open for the person of this turn.
    question: str | None = None
    # The question is too old: a yes does not count, and no message refers to its action.
    question_expired: bool = False
    # ModelReply.provider_parts, within its turn.
    provider_parts: str = ""


class ToolReturn(Struct, frozen=True):
    """A tool's answer to the model: JSON text. A model that sees gets its `images`, too."""

    call_id: str
    name: str
    content: str
    failed: bool = False
    images: tuple[ImageInput, ...] = ()


OnText: TypeAlias = Callable[[str], None]
Said: TypeAlias = UserText | AssistantReply
"""A message that a conversation keeps."""
Message: TypeAlias = Said | ToolReturn


class TextCounter:
    """Passes the pieces of an answer's text on and counts their characters."""

    def __init__(self, on_text: OnText | None) -> None:
        self._on_text = on_text
        self.chars = 0

    def add(self, piece: str) -> None:
        self.chars += len(piece)
        if self._on_text is not None:
            self._on_text(piece)


class AskedBy(Struct, frozen=True):
    """The person and chat that a request is counted for."""

    person: str = "owner"
    channel: str = "unknown"
    chat_id: str = ""


class ModelRequest(Struct, frozen=True):
    """A request to a model.

    `system` and `tools` stay the same from turn to turn, so that a provider may cache them. `dynamic_context` (memory,
    running programs) changes seldom and comes after them; the `note` changes with each message. `task` picks a model if
    the settings name one for it. Without `may_call` the tools are sent anyway: providers refuse calls in the messages
    without them, and cache the beginning of a request.
    """

    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    may_call: bool = True
    # The limit of the answer; None is the model's own limit.
    max_tokens: int | None = None
    # The devices in `dynamic_context` as values, for the offline model.
    device_context: DeviceContext | None = None
    dynamic_context: str = ""
    task: ModelTask = "chat"
    asked_by: AskedBy = AskedBy()


ReplyEnd: TypeAlias = Literal["stop", "length", "filter", "thoughts"]
"""Why a reply ended. "length": at a limit of tokens. "thoughts": it has neither text nor calls."""


class ModelReply(Struct, frozen=True):
    """A model's turn: text, or calls of tools, or both.

    `note` is one line of provenance for the person ("offline, 2 ms, cost 0"). A model that works from intents also
    names its `intent` ("blink pin 2 every 500 ms"); a model that cannot answer sets `failed_code`.
    `code_origin` says where a program in `calls` comes from if the model did not write it. `model` is the model that
    answered, if there were several; `instead` says why it was not the first of them. `literal`: the calls follow by
    rule from the person's own words, so no untrusted text in the conversation can have asked for them.
    `question` is the open question and the last action of the offline dialogue (DialogueState as JSON), stored with the
    answer; `choices` are the answers to that question. `from_results`: the text is made by rule from the results of the
    calls.
    `provider_parts` must be sent back to the provider within the turn: thoughts, signatures. Only provider_wire reads
    it.
    """

    text: str
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    note: str = ""
    intent: str | None = None
    code_origin: str | None = None
    failed_code: str | None = None
    next_step: str | None = None
    model: str = ""
    literal: bool = False
    instead: str = ""
    question: str | None = None
    choices: tuple[Choice, ...] = ()
    from_results: bool = False
    end: ReplyEnd = "stop"
    provider_parts: str = ""


class Model(Protocol):
    """A language model. `respond` raises ModelError when its service fails; it never retries forever."""

    @property
    def name(self) -> str: ...

    async def warm_up(self) -> None:
        """Load what the first request would have to load; it may be called from the background, or never."""

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Return the whole reply; if the service streams, `on_text` gets the pieces of its text as they come."""

    async def aclose(self) -> None:
        """Close its connections."""
