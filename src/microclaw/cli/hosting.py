"""Runs the host as this process: signals, its log, the virtual boards it is asked for. app/ builds the host."""

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
from microclaw.api.host import Host
from microclaw.api.status import OFFLINE
from microclaw.app import running_host
from microclaw.boards import load_board
from microclaw.config.settings import Settings
from microclaw.config.show import secret_texts
from microclaw.errors import ConfigError, StoreUnreachable
from microclaw.masking import SecretMask
from microclaw.text import clean_text, escape_hidden
from microclaw.virtual_boards.host_boards import BOARD

LOG_BYTES = 2 << 20
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# What `extra={"device": name, ...}` may add to a line of the log: only these, so that no payload gets in by them.
FACTS = ("device", "transport", "app", "what", "address", "code", "reason", "why", "method", "lane", "count", "took_ms")
MAX_FACT_CHARS = 200
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")  # no space, quote, equals sign, backslash or control character
_WORDY = ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "aiohttp.access", "mcp", "httpx2", "httpcore2")
_DOORS = ("uvicorn", "websockets", "aiohttp", "h11", "mcp", "microclaw.api.gateway", "microclaw.link_server.listener")
_DEVICES = ("microclaw.link_server", "microclaw.telemetry.reported", "microclaw.voice")  # their lines begin with one
LINES_OF_DEVICE = 60  # in REFUSALS_S
REFUSALS_S = 3600.0
REFUSALS = (60, 20)  # in REFUSALS_S: lines of a kind, and of one source of it
REFUSALS_OF_DOOR = 200  # of all kinds of a logger: some put values into their text
_QUERY = re.compile(r"((?:\b(?:https?|wss?)://|(?<![\w.])/)[^\s?\"']*)\?[^\s\"']+")


def run_host(
    settings: Settings,
    *,
    virtual_boards: int,
    ready: Callable[[dict[str, Any], str | None], None],
    verbose: bool,
    die_with_parent: bool = False,
    while_used: bool = False,
    new_store: bool = False,
) -> None:
    """Run until SIGINT or SIGTERM, or only `while_used` by `microclaw mcp`. `ready` is called once, when the host
    answers, with its facts and a link for the terminal alone; `new_store` as `running_host`."""
    if die_with_parent and sys.platform == "linux":  # the kernel sends SIGTERM then, even after a kill -9
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    mask = SecretMask(secret_texts(settings))
    log_to(settings.log, verbose=verbose, mask=mask)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        unused = stop.set if while_used else None
        async with running_host(
            settings, virtual_boards=virtual_boards, new_store=new_store, mask=mask, when_unused=unused
        ) as host:
            ready(_facts(host), await _first_link(host))
            await stop.wait()

    import uvloop

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from group


async def _first_link(host: Host) -> str | None:
    """A link that signs the owner in, where nobody ever did. It is for the terminal alone: no log, no document."""
    if host.plane is None or not sys.stdout.isatty() or not await host.admission.sign_ins.never_used():
        return None
    try:
        return f"{host.plane.urls[0]}/signin#{await host.admission.sign_ins.new_code()}"
    except StoreUnreachable as exc:  # the host is up; `microclaw status --open` makes one later
        logging.getLogger(__name__).warning("no link to sign in: %s", exc.message)
        return None


def _facts(host: Host) -> dict[str, Any]:
    boards = host.boards.ready
    title = load_board(BOARD).title
    model = host.conversations.model.name
    return {
        "pid": os.getpid(),
        "ready_s": _seconds_since_start(),
        "home": str(host.settings.home),
        "control": str(host.settings.control_socket),
        "http": host.http,
        "ca_sha256": None if host.plane is None else host.plane.fingerprint,
        "link": None if host.link is None else host.link.address,
        "gateway": host.channels.gateway,
        "gateway_open": host.channels.gateway_open,
        "gateway_token": host.channels.gateway_token and str(host.channels.gateway_token),
        "xiaozhi": host.voice.ota,
        "wyoming": host.voice.wyoming,
        "problems": host.problems,
        "model": "none: offline intents answer" if model == OFFLINE else model,
        "boards": [{"name": b.name, "title": title, "pid": b.pid, "transports": list(b.transports)} for b in boards],
    }


def log_to(path: Path, *, verbose: bool, mask: SecretMask | None = None) -> None:
    """The host's log is a file in its home, 0600; with -v stderr shows it too. `mask` takes known secrets out."""
    try:
        fd = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NONBLOCK, 0o600)  # a pipe would wait
        kind = os.fstat(fd).st_mode
        os.close(fd)
    except OSError as exc:
        text = f"the log {path} cannot be written: {exc.strerror}"
        raise ConfigError(text, next_step="check what is there, its owner, and the disk's free space") from exc
    if not (stat.S_ISREG(kind) or stat.S_ISCHR(kind)):
        raise ConfigError(f"the log {path} is not a plain file", next_step="move away what is there")
    handlers: list[logging.Handler] = [RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)]
    if verbose:
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.raiseExceptions = False  # a full disk is told once (Database.refusal), not by a traceback for each line
    for handler in handlers:
        handler.setFormatter(LogLines(mask))
        handler.addFilter(RefusalLimit().filter)  # each counts for itself: all are given the same lines
    for name in _WORDY:  # their other lines are a client's handshakes, or addresses with a key or a person's words
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)


def _seconds_since_start() -> float | None:
    """Since the kernel started this process, interpreter and imports included; None where it does not tell."""
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return None
    started_ticks = int(stat.read_text().rpartition(")")[2].split()[19])
    return round(time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK"), 2)


class RefusalLimit:
    """Lets so many lines of one kind from a door, from one source there, and about one device into the log in an hour.

    A kind is a logger and its text without values; a source is the address among the values. What comes beyond is
    counted, and the next line of that door or device that is written says how many. `clock_s` is monotonic.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._began_s = clock_s()
        self._lines: Counter[tuple[str, str]] = Counter()
        self._left_out: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """True if the line is written."""
        if not record.name.startswith((*_DOORS, *_DEVICES)):
            return True
        now_s = self._clock_s()
        if now_s - self._began_s >= REFUSALS_S:
            self._began_s = now_s
            self._lines.clear()
        kind = f"{record.name} {record.msg}"[:MAX_FACT_CHARS]
        limits = {(record.name, ""): REFUSALS_OF_DOOR, (kind, ""): REFUSALS[0], (kind, _source_of(record)): REFUSALS[1]}
        if not record.name.startswith(_DOORS) and isinstance(record.args, tuple) and record.args:
            limits = {("", address_range(str(record.args[0]))): LINES_OF_DEVICE}
        first = next(iter(limits))
        if any(self._lines[counted] >= most for counted, most in limits.items()):
            self._left_out[first] += 1
            return False
        self._lines.update(limits.keys())
        missing = self._left_out.pop(first, 0)
        if missing:
            record.count = missing  # a fact of the line: so many were not written before it
        return True


def _source_of(record: logging.LogRecord) -> str:
    """The range of the address that a door's line names, or nothing."""
    if isinstance(record.args, tuple):
        values = record.args
    else:
        values = ()
    for value in (getattr(record, "address", None), *values):
        if isinstance(value, tuple) and value:
            text = str(value[0])
        else:
            text = str(value)
        found = address_range(text)
        if found != text:
            return found
    return ""


class LogLines(logging.Formatter):
    """A line: time, level, part, text, then facts as `key=value`.

    A traceback follows on lines of its own; whatever a device or a person wrote stays on one.
    """

    converter = time.gmtime  # type: ignore[assignment]  # typeshed declares a method
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, mask: SecretMask | None = None) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._mask = mask or SecretMask()

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = escape_hidden(super().formatMessage(record))
        facts = [f"{key}={_value(getattr(record, key))}" for key in FACTS if hasattr(record, key)]
        return " ".join((line, *facts))

    def format(self, record: logging.LogRecord) -> str:
        """Without secrets, and without the query of any address: it may be a token, and as long as its sender likes."""
        return _QUERY.sub(r"\1?[query]", self._mask.masked(super().format(record)))

    def formatException(self, ei: Any) -> str:
        return clean_text(super().formatException(ei), mark="?")


def _value(value: object) -> str:
    text = str(value)[:MAX_FACT_CHARS]
    if _PLAIN.fullmatch(text):
        return text
    return escape_hidden(json.dumps(text, ensure_ascii=False))
