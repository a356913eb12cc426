"""Runs the host in this process: its signals, its log, its virtual boards. The entry point hands in the host."""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import re
import signal
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from microclaw.addresses import address_range
from microclaw.devices.virtual_boards.host_boards import BOARD
from microclaw.errors import ConfigError, StoreUnreachable
from microclaw.hardware.boards import load_board
from microclaw.host.config.settings import Settings
from microclaw.host.config.show import secret_texts
from microclaw.host.egress.masking import SecretMask
from microclaw.interfaces.api.host import HostInfo
from microclaw.interfaces.api.status import OFFLINE
from microclaw.interfaces.cli.options import HostRunner
from microclaw.text import clean_text, escape_hidden

LOG_BYTES = 2 << 20
# From <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
# The only facts that `extra={"device": name, ...}` may add to a line of the log, so that no payload gets into it.
FACTS = ("device", "transport", "app", "what", "address", "code", "reason", "why", "method", "lane", "count", "took_ms")
MAX_FACT_CHARS = 200
# A value without a space, quote, equals sign, backslash or control character needs no quotes.
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")
_WORDY = ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "aiohttp.access", "mcp", "httpx2", "httpcore2")
_DOORS = (
    "uvicorn",
    "websockets",
    "aiohttp",
    "h11",
    "mcp",
    "microclaw.interfaces.channels.gateway",
    "microclaw.devices.link.listener",
)
# The first value in the lines of these loggers is a device.
_DEVICES = ("microclaw.devices.link", "microclaw.devices.telemetry.reported", "microclaw.interfaces.voice")
REFUSALS_S = 3600.0
# The most lines in REFUSALS_S: about a device; of a kind, and of one source of it; of all kinds of a logger, because
# some loggers put values into their text.
LINES_OF_DEVICE = 60
REFUSALS = (60, 20)
REFUSALS_OF_DOOR = 200
_QUERY = re.compile(r"((?:\b(?:https?|wss?)://|(?<![\w.])/)[^\s?\"']*)\?[^\s\"']+")


def run_host(
    settings: Settings,
    running_host: HostRunner,
    *,
    virtual_boards: int,
    ready: Callable[[dict[str, Any], str | None], None],
    verbose: bool,
    die_with_parent: bool = False,
    while_used: bool = False,
    new_store: bool = False,
) -> None:
    """Run until SIGINT or SIGTERM, or with `while_used` until `microclaw mcp` does not use it any more.

    `ready` is called once, when the host answers, with its facts and a link that only the terminal may show.
    `new_store` is an argument of `running_host`.
    """
    if die_with_parent and sys.platform == "linux":
        # The kernel sends SIGTERM when the parent ends, even after a kill -9.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    mask = SecretMask(secret_texts(settings))
    log_to(settings.log, verbose=verbose, mask=mask)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        when_unused = stop.set if while_used else None
        async with running_host(
            settings, virtual_boards=virtual_boards, new_store=new_store, mask=mask, when_unused=when_unused
        ) as host:
            ready(_facts(host), await _first_link(host))
            await stop.wait()

    import uvloop

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except BaseExceptionGroup as group:
        raise _only_error(group) from group


def _only_error(group: BaseException) -> BaseException:
    """Return the error inside groups of one error, or the first group with several errors."""
    error = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _first_link(host: HostInfo) -> str | None:
    """Return a link that signs the owner in, or None if there was a sign-in already or stdout is not a terminal.

    It must not get into a log or a document.
    """
    if host.plane is None or not sys.stdout.isatty() or not await host.admission.sign_ins.never_used():
        return None
    try:
        return f"{host.plane.urls[0]}/signin#{await host.admission.sign_ins.new_code()}"
    # The host works without the link; `microclaw status --open` makes one later.
    except StoreUnreachable as exc:
        logging.getLogger(__name__).warning("no link to sign in: %s", exc.message)
        return None


def _facts(host: HostInfo) -> dict[str, Any]:
    model = host.conversations.model.name
    if model == OFFLINE:
        model = "none: offline intents answer"
    return {
        "pid": os.getpid(),
        "ready_s": _seconds_since_start(),
        "home": str(host.settings.home),
        "control": str(host.settings.control_socket),
        "http": host.http,
        "ca_sha256": None if host.plane is None else host.plane.fingerprint,
        "link": None if host.link is None else host.link.address,
        **host.hooks.read_start_facts(),
        "problems": host.problems,
        "model": model,
        "boards": _board_facts(host),
    }


def _board_facts(host: HostInfo) -> list[dict[str, Any]]:
    title = load_board(BOARD).title
    facts = []
    for board in host.boards.ready:
        transports = list(board.transports)
        facts.append({"name": board.name, "title": title, "pid": board.pid, "transports": transports})
    return facts


def log_to(path: Path, *, verbose: bool, mask: SecretMask | None = None) -> None:
    """Write the log to a file (0600), and with `verbose` to stderr; `mask` removes known secrets from it.

    Raises ConfigError if the file cannot be written or is not a plain file.
    """
    _check_log_file(path)
    handlers: list[logging.Handler] = [RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)]
    if verbose:
        handlers.append(logging.StreamHandler(sys.stderr))
    # A full disk is reported once (Database.refusal), not by a traceback for each line.
    logging.raiseExceptions = False
    for handler in handlers:
        handler.setFormatter(LogLines(mask))
        # Each handler gets all lines, so each needs a count of its own.
        handler.addFilter(RefusalLimit().filter)
    # Other lines of these are the handshakes of clients, or addresses with a key or a person's words.
    for name in _WORDY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)


def _check_log_file(path: Path) -> None:
    """Create the log with mode 0600. Raises ConfigError if that fails, or if it is not a plain file."""
    try:
        # Without O_NONBLOCK a named pipe in its place would block the host.
        fd = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NONBLOCK, 0o600)
        kind = os.fstat(fd).st_mode
        os.close(fd)
    except OSError as exc:
        text = f"the log {path} cannot be written: {exc.strerror}"
        raise ConfigError(text, next_step="check that file, its owner, and the disk's free space") from exc
    if not (stat.S_ISREG(kind) or stat.S_ISCHR(kind)):
        raise ConfigError(f"the log {path} is not a plain file", next_step="move it away")


def _seconds_since_start() -> float | None:
    """Return the seconds since the kernel started this process (with interpreter and imports), None without /proc."""
    stat_file = Path("/proc/self/stat")
    if not stat_file.exists():
        return None
    # Field 22 of proc(5), counted after the process's name, which may contain spaces.
    started_ticks = int(stat_file.read_text().rpartition(")")[2].split()[19])
    return round(time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK"), 2)


class RefusalLimit:
    """A filter that limits the log's lines in an hour: of one kind from a door, of one source there, about one device.

    A kind is a logger and its text without values; a source is the address among the values. Lines beyond the limit are
    counted, and the next written line of that door or device has their number. `clock_s` is monotonic.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._began_s = clock_s()
        self._lines: Counter[tuple[str, str]] = Counter()
        self._left_out: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True if the line is written."""
        if not record.name.startswith((*_DOORS, *_DEVICES)):
            return True
        now_s = self._clock_s()
        if now_s - self._began_s >= REFUSALS_S:
            self._began_s = now_s
            self._lines.clear()
        limits = _limits_of(record)
        first = next(iter(limits))
        if any(self._lines[key] >= limit for key, limit in limits.items()):
            self._left_out[first] += 1
            return False
        self._lines.update(limits.keys())
        missing_count = self._left_out.pop(first, 0)
        if missing_count:
            # `count` is a fact of the line: the number of lines that were not written before it.
            record.count = missing_count
        return True


def _limits_of(record: logging.LogRecord) -> dict[tuple[str, str], int]:
    """Return the counters of a line with their limits; the first one is for its door or device."""
    values = record.args
    if isinstance(values, tuple) and values and not record.name.startswith(_DOORS):
        return {("", address_range(str(values[0]))): LINES_OF_DEVICE}
    kind = f"{record.name} {record.msg}"[:MAX_FACT_CHARS]
    return {
        (record.name, ""): REFUSALS_OF_DOOR,
        (kind, ""): REFUSALS[0],
        (kind, _source_of(record)): REFUSALS[1],
    }


def _source_of(record: logging.LogRecord) -> str:
    """Return the range of the address that a door's line names, or "" if it names none."""
    values = record.args if isinstance(record.args, tuple) else ()
    for value in (getattr(record, "address", None), *values):
        text = str(value)
        # A socket's address is a tuple of host and port.
        if isinstance(value, tuple) and value:
            text = str(value[0])
        network = address_range(text)
        if network != text:
            return network
    return ""


class LogLines(logging.Formatter):
    """A formatter of lines: time, level, part, text, then facts as `key=value`.

    A traceback follows on lines of its own; a text from a device or a person stays on one line.
    """

    converter = time.gmtime  # type: ignore[assignment]  # typeshed declares a method
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, mask: SecretMask | None = None) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._mask = mask or SecretMask()

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = escape_hidden(super().formatMessage(record))
        facts = [f"{key}={_format_value(getattr(record, key))}" for key in FACTS if hasattr(record, key)]
        return " ".join((line, *facts))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without secrets and without the query of addresses: it may be a token, and of any length."""
        return _QUERY.sub(r"\1?[query]", self._mask.masked(super().format(record)))

    def formatException(self, ei: Any) -> str:
        return clean_text(super().formatException(ei), mark="?")


def _format_value(value: object) -> str:
    text = str(value)[:MAX_FACT_CHARS]
    if _PLAIN.fullmatch(text):
        return text
    return escape_hidden(json.dumps(text, ensure_ascii=False))
