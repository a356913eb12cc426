"""A line of the host's log: time, level, part, text, then facts as `key=value`. It does not decide what is logged.

Facts come with `extra={"device": name, ...}`. Only those named here are written, so that no payload gets in by them.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from types import TracebackType
from typing import TypeAlias

from microclaw.text import clean_text, escape_hidden

_ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
FACTS = ("device", "transport", "app", "what", "address", "code", "reason", "why", "method", "lane", "count", "took_ms")
MAX_FACT_CHARS = 200
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")  # no space, quote, equals sign, backslash or control character


class LogLines(logging.Formatter):
    """A traceback follows on lines of its own; whatever a device or a person wrote stays on one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002
        """UTC, to the millisecond."""
        at = datetime.fromtimestamp(record.created, UTC)
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = escape_hidden(super().formatMessage(record))
        facts = [f"{key}={_value(getattr(record, key))}" for key in FACTS if hasattr(record, key)]
        return " ".join((line, *facts))

    def formatException(self, ei: _ExceptionInfo) -> str:
        return clean_text(super().formatException(ei), mark="?")


def _value(value: object) -> str:
    text = str(value)[:MAX_FACT_CHARS]
    return text if _PLAIN.fullmatch(text) else escape_hidden(json.dumps(text, ensure_ascii=False))
