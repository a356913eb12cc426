"""Lines of expectations about the network: what answers the program, what comes to it, what it must send and answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, structs

from microclaw.addresses import DEFAULT_PORTS
from microclaw.conversion import convert
from microclaw.programs.proof.checks import Count, Period, met_if
from microclaw.programs.proof.expectations import Check, CheckResult
from microclaw.programs.proof.line_pattern import MAX_LINE_CHARS, LinePattern, parse_line_pattern
from microclaw.programs.proof.network_events import PageAnswers, Sent, judged_text
from microclaw.programs.proof.record import Record, TrialWindow
from microclaw.programs.proof.stimuli import NetworkStimulus
from microclaw.wire.canned_lines import (
    ANSWER_MS,
    AnswerKind,
    Broker,
    BrokerAway,
    BrokerMessage,
    HttpAnswer,
    PageRequest,
    request_text,
)

ANSWER_LIMIT_MS: Final = 10_000.0
"""A program's own server has so long for an answer in a trial: a person has left by then."""
MAX_PAGE_REPEATS: Final = 2
"""Of a pattern over a page, which is compared from each of its characters on."""
_METHODS: Final = "GET|POST|PUT|PATCH|DELETE|HEAD"
_HOST: Final = r"[0-9A-Za-z][0-9A-Za-z.-]*+"
_PATH: Final = r"/[!-~]*+"
_QUOTED_TEXT: Final = r'"(?:[^"\\]|\\.)*+"'
L = TypeVar("L", HttpAnswer, Broker, BrokerAway, BrokerMessage, PageRequest)


class Target(Struct, frozen=True):
    """A request to a server, as a line names it."""

    method: str
    host: str
    port: int | None
    path: str

    @property
    def accepted_texts(self) -> tuple[str, ...]:
        """The requests that it is about; without a port, those by http and those by https."""
        ports: tuple[int, ...] = (DEFAULT_PORTS["http"], DEFAULT_PORTS["https"])
        if self.port is not None:
            ports = (self.port,)
        return tuple(request_text(self.method, self.host, port, self.path) for port in ports)


class Wanted(Struct, frozen=True):
    """The answer that a program's own server must give; None: any."""

    status: int | None
    pattern: LinePattern | None


class PageAnswered(Check, frozen=True):
    """The program's own server gives the wanted answer to a request at a time."""

    subject: PageAnswers
    at_ms: float
    wanted: Wanted

    @property
    def moment_ms(self) -> float:
        return self.at_ms

    @property
    def needed_ms(self) -> float:
        return self.at_ms + ANSWER_LIMIT_MS

    def compare(self, seen: Record) -> CheckResult:
        row = self.subject.row(seen)
        if row is None or row.t_ms > self.needed_ms:
            return CheckResult("not met", "its server gave no answer", at_ms=self.at_ms)
        is_right = row.status is not None and self.wanted.status in (None, row.status)
        if is_right and self.wanted.pattern is not None:
            is_right = is_in_page(self.wanted.pattern, row.text)
        return met_if(is_right, judged_text(row, is_right=is_right), at_ms=row.t_ms)


class PageVisit(Struct, frozen=True):
    """A request to the program's own server, with the check of its answer if the line has one."""

    stimulus: NetworkStimulus
    check: PageAnswered | None

    def numbered(self, number: int) -> PageVisit:
        """Return it with the number by which its answer is known."""
        line = structs.replace(self.stimulus.line, number=number)
        stimulus = structs.replace(self.stimulus, line=line)
        if self.check is None:
            return PageVisit(stimulus, None)
        return PageVisit(stimulus, structs.replace(self.check, subject=PageAnswers(number)))


def is_in_page(pattern: LinePattern, text: str) -> bool:
    """Return True if the pattern fits somewhere in a line of the text."""
    expression = re.compile(pattern.text, re.ASCII)
    for line in text.splitlines():
        for start in range(0, len(line), MAX_LINE_CHARS):
            if expression.search(line[start : start + MAX_LINE_CHARS]):
                return True
    return False


# What the forms of expectation_forms.py make.


def answer_of(
    target: Target, status: int, headers: Sequence[tuple[str, str]], text: str, delay_ms: float | None
) -> HttpAnswer:
    """Return the answer of a server."""
    return _checked(
        HttpAnswer(
            target.method,
            target.host,
            target.path,
            target.port,
            status=status,
            text=text,
            headers=tuple(headers),
            delay_ms=ANSWER_MS if delay_ms is None else delay_ms,
        )
    )


def other_answer(kind: AnswerKind) -> Callable[[Target], HttpAnswer]:
    """Return what makes the line of a server that refuses, or says nothing."""
    return lambda target: _checked(HttpAnswer(target.method, target.host, target.path, target.port, kind=kind))


def broker_at(word: str, address: list[Any]) -> Broker:
    """Return the broker of "mqtt broker HOST[:PORT]"; ValueError for another word in the place of `broker`."""
    if word != "broker":
        raise ValueError(f'after the topic {word} comes ~ "TEXT"; a broker is: mqtt broker {address[0]}')
    return _checked(Broker(*address))


def message_at(at_ms: float, topic: str, text: str) -> NetworkStimulus:
    """Return a message that comes to the program from its broker."""
    return NetworkStimulus(at_ms, _checked(BrokerMessage(topic, text)))


def away_at(at_ms: float, address: list[Any], for_ms: float) -> NetworkStimulus:
    """Return a broker's absence; `address` is its host and its port."""
    host, port = address
    return NetworkStimulus(at_ms, _checked(BrokerAway(host, for_ms, port)))


def visit_at(at_ms: float, method: str, place: list[Any], text: str, wanted: Wanted | None) -> PageVisit:
    """Return a request to the program's own server; `place` is its port and its path."""
    port, path = place
    request = _checked(PageRequest(method, path, port, text))
    check = None
    if wanted is not None:
        check = PageAnswered(PageAnswers(request.number), at_ms, wanted)
    return PageVisit(NetworkStimulus(at_ms, request), check)


def sent_parts(sent: Callable[[Any, LinePattern], Sent]) -> dict[str, Callable[..., Any]]:
    """Return the forms of a line about what the program sends, as `log` has them; `sent` takes the head's value."""

    def every(head: Any, ms: float, tolerance: float, lines: Any) -> Period:
        return Period(sent(head, lines.pattern), ms, tolerance)

    def counted(head: Any, lines: Any, window: TrialWindow, count: int | None = None) -> Count:
        return Count(sent(head, lines.pattern), count, window=window)

    return {
        "every TIME TOL PATTERN": every,
        "PATTERN every TIME TOL": lambda head, lines, ms, tol: every(head, ms, tol, lines),
        "PATTERN LIMIT": counted,
        "never PATTERN LIMIT": lambda head, lines, window: counted(head, lines, window, 0),
        "LINES times? PATTERN LIMIT": lambda head, count, lines, window: counted(head, lines, window, count),
    }


def _checked(line: L) -> L:
    """Return the line if the control protocol takes it; ValueError says which value it does not take."""
    try:
        return convert(msgspec.to_builtins(line), type(line))
    except msgspec.ValidationError as exc:
        problem, _, place = str(exc).partition(" - at `$.")
        raise ValueError(f"{place.strip('`')}: {problem}") from exc


# The values of these lines: patterns and readers, for expectation_values.py.


def _target(method: str, scheme: str | None, host: str, port: str | None, path: str | None) -> Target:
    number = _port(port)
    if number is None and scheme is not None:
        number = DEFAULT_PORTS[scheme.lower()]
    return Target(method, host.lower(), number, path or "/")


def _place(port: str | None, path: str | None) -> list[Any]:
    return [_port(port) or 80, path or "/"]


def _address(host: str, port: str | None) -> list[Any]:
    return [host.lower(), _port(port)]


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    return int(text)


def _wanted(arrow: str | None, status: str | None, pattern: str | None) -> Wanted | None:
    """Return what the answer must be; None if the line has no arrow. ValueError for a pattern that takes too long."""
    if arrow is None:
        return None
    line_pattern = None
    if pattern is not None:
        line_pattern = parse_line_pattern(unquoted(pattern))
        if len(re.findall(r"(?<!\\)[*+{]", line_pattern.text)) > MAX_PAGE_REPEATS:
            raise ValueError(f"a pattern over a page has at most {MAX_PAGE_REPEATS} of * + {{n}}")
    if status is None:
        return Wanted(None, line_pattern)
    return Wanted(int(status), line_pattern)


def _headers(text: str) -> list[tuple[str, str]]:
    """Read "[Name: value] [Name: value]". It is a list: a tuple is a value for each of several times."""
    headers = []
    for name, value in _HEADER.findall(text):
        headers.append((name, value.strip()))
    return headers


def _body(text: str) -> str:
    """Read a text to the end of the line; one that begins and ends with a quotation mark stands between them."""
    text = text.strip()
    if _WHOLE_QUOTED.fullmatch(text):
        return unquoted(text)
    return text


def _quoted(text: str | None) -> str:
    return unquoted(text) if text else ""


def unquoted(text: str) -> str:
    """Return the text between quotation marks."""
    return text[1:-1].replace('\\"', '"')


_HEADER: Final = re.compile(r"\[([0-9A-Za-z-]+):([^\[\]]*)\]")
_WHOLE_QUOTED: Final = re.compile(_QUOTED_TEXT)
NETWORK_VALUES: Final[dict[str, tuple[str, Callable[..., Any]]]] = {
    "TARGET": (rf"({_METHODS})\b\s*+(?:(https?)://)?({_HOST})(?::(\d{{1,5}}))?({_PATH})?", _target),
    "METHOD": (rf"({_METHODS})\b", str),
    "PLACE": (rf"(?=[:/])(?::(\d{{1,5}}))?({_PATH})?", _place),
    "ADDRESS": (rf"({_HOST})(?::(\d{{1,5}}))?", _address),
    "STATUS": (r"(\d{3})\b", int),
    "HEADERS": (r"((?:\[[0-9A-Za-z-]+:[^\[\]]*\]\s*+)*+)", _headers),
    "BODY": (r"(.*?)", _body),
    "TOPIC": (r'([^\s"~#+]++)', str),
    "TEXT": (rf"({_QUOTED_TEXT})", unquoted),
    "WANTED": (rf"(?:(->|→)\s*+(?:(\d{{3}})\b)?\s*+(?:~\s*+({_QUOTED_TEXT}))?)?", _wanted),
    "FORM": (rf"({_QUOTED_TEXT})?", _quoted),
}
