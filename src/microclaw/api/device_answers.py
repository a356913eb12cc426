"""The forms of answers about devices and their programs, for the OpenAPI document; the routes make the answers.

As in answers.py: a field may be added to any of them.
"""

from __future__ import annotations

from typing_extensions import TypedDict

from microclaw.api.answers import LastValue
from microclaw.store.crashes import CrashKind
from microclaw.store.telemetry import Source


class DiagnosticFacts(TypedDict):
    """One finding in a source or a file; `text` is all of it for people."""

    severity: str
    message: str
    file: str | None
    line: int | None
    column: int | None
    source_line: str | None
    explanation: str | None
    next: str | None
    text: str


class TelemetryPoint(TypedDict):
    at_ms: int
    min: float
    max: float
    mean: float
    count: int


class TelemetrySeries(TypedDict):
    key: str
    unit: str | None
    points: list[TelemetryPoint]


class RefusedTelemetry(TypedDict):
    reason: str
    count: int
    text: str


class Telemetry(TypedDict):
    """`source`: what the points are made of; `last` are the newest values."""

    device: str
    since_ms: int
    until_ms: int
    bucket_ms: int
    source: Source
    series: list[TelemetrySeries]
    last: list[LastValue]
    refused: list[RefusedTelemetry]


class CrashFacts(TypedDict):
    id: int
    kind: CrashKind
    program: str | None
    version: str | None
    title: str
    fingerprint: str
    count: int
    found_ms: int
    first_ms: int
    last_ms: int
    devices: list[str]


class Crashes(TypedDict):
    crashes: list[CrashFacts]


class CrashReportFacts(TypedDict):
    device: str
    at_ms: int
    firmware: str | None
    trace: str
    log: list[str]


class OneCrash(CrashFacts):
    """`text` and `next`: what it means, where that is known."""

    text: str | None
    next: str | None
    reports: list[CrashReportFacts]


class ClearedCrashes(TypedDict):
    cleared: int
