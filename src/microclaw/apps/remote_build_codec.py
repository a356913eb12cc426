"""A program to build, and what became of it, as bytes between hosts (msgpack). It sends nothing and builds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import msgspec

from microclaw.apps.building import ProgramImage, ProgramLanguage
from microclaw.boards.profile import BoardProfile
from microclaw.cluster.call_codec import ERRORS, MAX_ERROR_CHARS, ToldError
from microclaw.errors import BuildError, ConfigError, Diagnostic, MicroclawError, ProtocolError, ToolFailed
from microclaw.events import ProgramKind
from microclaw.py.image import PyImage
from microclaw.wasm.image import Image

MAX_REQUEST: Final = 768 << 10  # bytes: one message of NATS (1 MiB); a C program has at most 256 KiB
MAX_LEFT_S: Final = 600.0
_FORM: Final = 1  # of this file; another microclaw's may be another
_VERSION_STEP: Final = "give all hosts of the cluster the same version: microclaw cluster status"
_ERRORS: Final[dict[str, type[MicroclawError]]] = {**ERRORS, "ConfigError": ConfigError, "ToolFailed": ToolFailed}


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """The arguments of apps.building.Compile. `left_s`: how long the answer is waited for, from when it comes."""

    form: int
    left_s: float
    source: str
    board: BoardProfile
    name: str
    optimization: str
    language: ProgramLanguage | None
    kinds: tuple[ProgramKind, ...]


class Taken(msgspec.Struct, frozen=True, tag="taken"):
    """A host has the order, and builds it or will."""

    host: str


class Left(msgspec.Struct, frozen=True, tag="left"):
    """That host ends: another may build it."""

    host: str


class Built(msgspec.Struct, frozen=True, tag="built"):
    """`image` of the kind `kind`."""

    host: str
    kind: ProgramKind
    image: msgspec.Raw


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """`diagnostics` and `stage` of a BuildError, nothing of another error."""

    host: str
    error: ToldError
    diagnostics: tuple[Diagnostic, ...] = ()
    stage: str = ""


News: TypeAlias = Taken | Left | Built | Refused


def encode_order(
    source: str,
    board: BoardProfile,
    name: str,
    optimization: str,
    language: ProgramLanguage | None,
    kinds: Sequence[ProgramKind],
    left_s: float,
) -> bytes:
    """BuildError for a source that no compiler takes, as it is too long."""
    data = _encoder.encode(Order(_FORM, left_s, source, board, name, optimization, language, tuple(kinds)))
    if len(data) > MAX_REQUEST:
        size = len(source.encode(errors="replace"))
        text = f"the source has {size} bytes, more than is sent to the host that builds it ({MAX_REQUEST})"
        raise BuildError((Diagnostic("error", text, name, hint="make it shorter"),), stage="source")
    return data


def read_order(data: bytes) -> Order:
    """ProtocolError for bytes that are none."""
    try:
        order = _orders.decode(data)
    except (msgspec.DecodeError, RecursionError) as exc:
        text = f"a program of another host that cannot be read: {exc}"
        raise ProtocolError(text, next_step=_VERSION_STEP) from exc
    if order.form != _FORM or not 0 < order.left_s <= MAX_LEFT_S:
        text = f"a program of another host of the form {order.form} with {order.left_s:g} s left"
        raise ProtocolError(text, next_step=_VERSION_STEP)
    return order


def encode_news(news: News) -> bytes:
    return _encoder.encode(news)


def built(host: str, image: ProgramImage) -> Built:
    return Built(host, image.kind, msgspec.Raw(_encoder.encode(image)))


def refused(host: str, error: MicroclawError) -> Refused:
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _ERRORS or kind is MicroclawError)
    step = None if error.next_step is None else error.next_step[:MAX_ERROR_CHARS]
    told = ToldError(name, error.message[:MAX_ERROR_CHARS], step, error.foreign)
    if isinstance(error, BuildError):
        return Refused(host, told, error.diagnostics, error.stage)
    return Refused(host, told)


def read_news(data: bytes) -> News:
    """ProtocolError for bytes that are none."""
    try:
        return _news.decode(data)
    except (msgspec.DecodeError, RecursionError) as exc:
        text = f"another host answered about a program with what this one cannot read: {exc}"
        raise ProtocolError(text, next_step=_VERSION_STEP) from exc


def image_of(news: Built | Refused) -> ProgramImage:
    """Raises the error of the host that refused; ProtocolError for an image that cannot be read."""
    if isinstance(news, Refused):
        raise _error_of(news)
    try:
        decoder: msgspec.msgpack.Decoder[Any] = _images[news.kind]
        image: ProgramImage = decoder.decode(news.image)
    except (msgspec.DecodeError, RecursionError) as exc:
        text = f"the host {news.host} built a program that this one cannot read: {exc}"
        raise ProtocolError(text, next_step=_VERSION_STEP) from exc
    return image


def _error_of(news: Refused) -> MicroclawError:
    """ToolFailed for a class that is not in the table."""
    told = news.error
    if news.diagnostics:
        return BuildError(news.diagnostics, stage=news.stage, next_step=told.next_step)
    return _ERRORS.get(told.name, ToolFailed)(told.message, next_step=told.next_step, foreign=told.foreign)


def _plain(value: object) -> object:
    """A board's tables cannot be written to."""
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not sent to other hosts")


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_plain)
_orders: Final = msgspec.msgpack.Decoder(Order)
_news: Final[msgspec.msgpack.Decoder[News]] = msgspec.msgpack.Decoder(News)
_images: Final[dict[ProgramKind, msgspec.msgpack.Decoder[Any]]] = {
    "wasm": msgspec.msgpack.Decoder(Image),
    "py": msgspec.msgpack.Decoder(PyImage),
}
