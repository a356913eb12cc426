"""The number of the form of what hosts tell each other, by which an older host knows what it cannot read.

Every message, lease, duty and note of a snapshot has a field `form`; none means 1. A newer microclaw may add fields
that an older one leaves out without harm: the number stays. Anything else gets the next number, and an older host
refuses it in words (docs/cluster.md, "Upgrade"). Entries of the log have a number of their own (store/recording.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Protocol, TypeAlias

import msgspec

from microclaw.errors import ProtocolError

FORM: Final = 1
VERSION_STEP: Final = "give all hosts of the cluster the same version: microclaw cluster status"


# What other hosts say is checked as all that comes from outside.
# The key is a part of a subject, and addresses are shown as links.
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
HostId: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
Word: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[ -~]{0,64}\Z")]
WebAddress: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\Ahttps?://[A-Za-z0-9._:%/~\[\]-]{1,250}\Z")]
LinkAddress: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._:%/~\[\]-]{1,250}\Z")]
STRANGER_STEP: Final = "see who else uses this NATS account: each cluster needs its own (docs/cluster.md, Security)"


class _Form(msgspec.Struct, frozen=True):
    """Of a value, whatever else it has."""

    form: int = 1


class Numbered(Protocol):
    """A struct whose last field is `form`."""

    @property
    def form(self) -> int: ...


def check_form(message: Numbered, what: str) -> None:
    """ProtocolError where `what` is of a newer microclaw."""
    if message.form > FORM:
        raise ProtocolError(f"{what} has the form {message.form}, this host knows {FORM}", next_step=VERSION_STEP)


def check_value(value: bytes, what: str) -> None:
    """ProtocolError where a JSON value is of a newer microclaw; what is no value at all passes."""
    try:
        form = msgspec.json.decode(value, type=_Form)
    except (msgspec.DecodeError, RecursionError):
        return
    check_form(form, what)


def as_array(message: msgspec.Struct) -> bytes:
    """The fields of an array-like struct, without a `form` of 1: hosts that know no number take it too."""
    values = msgspec.structs.astuple(message)
    return bytes(_encoder.encode(values[:-1] if values[-1] == 1 else values))


_encoder: Final[Any] = msgspec.msgpack.Encoder()
