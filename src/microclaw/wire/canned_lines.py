"""What answers the programs of a virtual board in place of a network, as values: each is a line of expectations.

No IO. The board's end is virtual/network/canned.py, the lines are read in programs/proof/expectation_forms.py.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from microclaw.addresses import DEFAULT_PORTS
from microclaw.wire.board_replies import Whole
from microclaw.wire.link import values

ANSWER_MS: Final = 20.0
"""How long a server takes where a line does not say it: as one nearby."""
MAX_TEXT_CHARS: Final = 4_000
"""Of one answer, message or body: whatever its characters are, a request of the control socket has room for it."""
MAX_NAME_CHARS: Final = 253  # RFC 1035
MAX_PATH_CHARS: Final = 1_000

Number: TypeAlias = values.Finite
Port: TypeAlias = Annotated[int, Meta(ge=1, le=65_535)]
Host: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
Path: TypeAlias = Annotated[str, Meta(pattern=r"\A/[!-~]*\Z", max_length=MAX_PATH_CHARS)]
Topic: TypeAlias = Annotated[str, Meta(pattern=r"\A[^#+\0]+\Z", max_length=MAX_PATH_CHARS)]
Text: TypeAlias = Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]
Method: TypeAlias = Annotated[str, Meta(pattern=r"\A[A-Z]{1,16}\Z")]
HeaderName: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9A-Za-z-]{1,64}\Z")]
HeaderValue: TypeAlias = Annotated[str, Meta(pattern=r"\A(?:[!-~](?:[ -~]{0,300}[!-~])?)?\Z")]
Headers: TypeAlias = Annotated[tuple[tuple[HeaderName, HeaderValue], ...], Meta(max_length=16)]
AnswerKind: TypeAlias = Literal["answer", "refused", "no answer"]


class _Line(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="line"):
    pass


class TimedLine(_Line, frozen=True, kw_only=True):
    """A line of what happens at a board time; None: now."""

    at_ms: Number | None = None


class HttpAnswer(_Line, frozen=True, tag="http"):
    """The answer of a server to one request. `port` None: 80, and 443 for what is asked by https.

    `path` with a query is for this query only, one without a query for all. If several lines are for the same request,
    they answer one after the other, and the last one from then on. `kind` refused: the server takes no connection, or
    breaks it off if another line has an answer of that server's; no answer: it says nothing.
    """

    method: Method
    host: Host
    path: Path = "/"
    port: Port | None = None
    kind: AnswerKind = "answer"
    status: Annotated[int, Meta(ge=200, le=599)] = 200
    text: Text = ""
    headers: Headers = ()
    delay_ms: Annotated[float, Meta(ge=0, le=86_400_000)] = ANSWER_MS


class Broker(_Line, frozen=True, tag="broker"):
    """An MQTT broker. `port` None: 1883 and 8883."""

    host: Host
    port: Port | None = None


class BrokerAway(TimedLine, frozen=True, tag="away"):
    """A broker that goes away at a board time. `port` None: 1883 and 8883.

    It breaks its connections off, and takes none until it is back.
    """

    host: Host
    for_ms: Annotated[float, Meta(gt=0, le=86_400_000)]
    port: Port | None = None


class BrokerMessage(TimedLine, frozen=True, tag="message"):
    """A message that comes to all brokers at a board time."""

    topic: Topic
    text: Text


class PageRequest(TimedLine, frozen=True, tag="request"):
    """A request of a client to the program's own server at a board time.

    `number` comes back with its answer, so that requests of one path are told apart.
    """

    method: Method
    path: Path
    port: Port = 80
    text: Text = ""
    headers: Headers = ()
    number: Whole = 0


def request_text(method: str, host: str, port: int, target: str) -> str:
    """Return a request to a server in words, each in one form: the port says which server of the host it is."""
    if port == DEFAULT_PORTS["http"]:
        return f"{method} {host}{target}"
    if port == DEFAULT_PORTS["https"]:
        return f"{method} https://{host}{target}"
    return f"{method} {host}:{port}{target}"


def with_sorted_query(target: str) -> str:
    """Return a target, or a request in words, with the parameters of its query by their names: servers take any order.

    Parameters of one name keep their order.
    """
    path, mark, query = target.partition("?")
    parameters = sorted(query.split("&"), key=lambda parameter: parameter.partition("=")[0])
    return f"{path}{mark}{'&'.join(parameters)}"


def host_asked(what: str) -> str:
    """Return the host, in small letters, of a request in words, or of what stands in its place: HOST or HOST:PORT."""
    place = what.split(" ", 1)[-1].removeprefix("https://")
    return re.split("[:/]", place, maxsplit=1)[0].lower()


CannedLine: TypeAlias = HttpAnswer | Broker | BrokerAway | BrokerMessage | PageRequest
