"""The value types of the link's messages with their bounds, and the base classes of bodies (declarations only). No IO.

codec.py reads and writes by these annotations; docs/protocols/link.cddl says the same in CDDL.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeAlias

from msgspec import Meta, Struct

MAX_UINT: Final = 2**63 - 1
MAX_ITEMS: Final = 256  # in any list or map
MAX_FLOAT: Final = 1.7976931348623157e308  # the largest of 64 bits: a bound that infinities and NaN do not meet

if TYPE_CHECKING:
    Value: TypeAlias = bool | int | float | str | bytes | "list[Value]" | "dict[str, Value]" | None
else:
    Value: TypeAlias = Any  # codec.py checks at any depth what msgspec cannot
ValueMap: TypeAlias = dict[str, Value]
Id: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=16)]
Epoch: TypeAlias = Annotated[bytes, Meta(min_length=8, max_length=8)]
Sha256: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
BlobLength: TypeAlias = Annotated[int, Meta(ge=1, le=16_384)]
MAX_PIECE_BYTES: Final = 4_096
Piece: TypeAlias = Annotated[bytes, Meta(min_length=1, max_length=MAX_PIECE_BYTES)]
TextMap: TypeAlias = Annotated[dict[str, str], Meta(max_length=MAX_ITEMS)]
HttpStatus: TypeAlias = Annotated[int, Meta(ge=100, le=999)]
Uint: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_UINT)]
Seq: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_UINT)]
Int: TypeAlias = Annotated[int, Meta(ge=-MAX_UINT, le=MAX_UINT)]
Finite: TypeAlias = Annotated[float, Meta(ge=-MAX_FLOAT, le=MAX_FLOAT)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Level: TypeAlias = Annotated[int, Meta(ge=0, le=100)]
PairingCode: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9]{6}\Z")]
Rate: TypeAlias = Annotated[int, Meta(ge=1, le=192_000)]  # samples a second
Texts: TypeAlias = Annotated[tuple[str, ...], Meta(max_length=MAX_ITEMS)]
Trigger: TypeAlias = Literal["wake", "button", "vad"]
StreamEnd: TypeAlias = Literal["done", "cancelled", "error"]
TaskKind: TypeAlias = Literal["agent", "sandbox"]
TaskState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
OtaState: TypeAlias = Literal[
    "idle", "offered", "downloading", "verifying", "staged", "rebooting", "trial", "healthy", "rolled_back", "refused",
    "failed",
]  # fmt: skip


class Sender(Enum):
    """The end that may send a message."""

    DEVICE = "device"
    HOST = "host"
    BOTH = "both"


class Durable(Enum):
    """The durability of a message: numbered, and kept until the other end has it."""

    NEVER = "never"
    ALWAYS = "always"
    IF_ASKED = "if asked"
    FINAL = "final states"


class Body(Struct, frozen=True, omit_defaults=True):
    """A map on the wire: fields that are None are left out."""


class Message(Body, frozen=True):
    """A CONTROL message. Its type on the wire is the class's name in small letters, where it names no other."""

    type: ClassVar[str]
    sender: ClassVar[Sender]
    durable: ClassVar[Durable] = Durable.NEVER
    exactly_one: ClassVar[tuple[str, ...]] = ()
    """Of these fields a message has one."""

    def __init_subclass__(cls) -> None:
        if "type" not in cls.__dict__:
            cls.type = re.sub("(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


class FromDevice(Message, frozen=True):
    sender: ClassVar = Sender.DEVICE


class FromHost(Message, frozen=True):
    sender: ClassVar = Sender.HOST


class FromBoth(Message, frozen=True):
    sender: ClassVar = Sender.BOTH
