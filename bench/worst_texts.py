"""The time in which a host answers /healthz while it reads programs that were made to take long to read."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any, Final
from urllib.parse import urlsplit

from bench.processes import private_home, running
from bench.report import Metric, percentile

SIZE: Final = 256 << 10
GOAL_MS: Final = 50.0
LEAST_SAMPLES: Final = 200
_FUNCTIONS: Final = range(1_900)
_CALLS: Final = "".join(f"a{number}();" for number in _FUNCTIONS)
FORMS: Final[tuple[dict[str, Any], ...]] = (
    {"name": "m.c", "source": '#include "a.h"\n' + '"\\' * 130_000, "files": {"a.h": "int a;"}},
    {"name": "m.c", "source": ";" * (SIZE - 1)},
    {"name": "m.c", "source": "".join(f"int a{n}();" for n in _FUNCTIONS) + "void on_init(void){" + _CALLS + "}"},
    {"name": "main", "source": 'f"' + "{a}" * 80_000 + '"'},
)


def measure() -> list[Metric]:
    with (
        private_home() as environ,
        running("microclaw", "up", "--json", "--port", "0", environ=environ) as host,
    ):
        parts = urlsplit(str(host.facts["http"]))
        address = (str(parts.hostname), int(parts.port or 0))
        time.sleep(1.5)  # what the host warms up in the background is there
        ended = threading.Event()
        ended.set()
        quiet_ms = _answer_times_ms(address, ended)
        ended.clear()
        reading = threading.Thread(target=_have_read, args=(address, ended))
        reading.start()
        busy_ms = _answer_times_ms(address, ended)
        reading.join()
    return [
        Metric("/healthz p99, host at rest", percentile(quiet_ms, 99), "ms"),
        Metric("/healthz p99 beside the worst texts", percentile(busy_ms, 99), "ms", GOAL_MS),
        Metric("/healthz, longest beside the worst texts", max(busy_ms), "ms"),
    ]


def _have_read(address: tuple[str, int], ended: threading.Event) -> None:
    for form in FORMS:
        _ask(address, "POST", "/api/compile-wasm", json.dumps(form))
    ended.set()


def _answer_times_ms(address: tuple[str, int], ended: threading.Event) -> list[float]:
    """Ask until the end, and at least so often; the milliseconds of each answer."""
    times_ms: list[float] = []
    while len(times_ms) < LEAST_SAMPLES or not ended.is_set():
        began_s = time.perf_counter()
        _ask(address, "GET", "/healthz", None)
        times_ms.append((time.perf_counter() - began_s) * 1000)
        time.sleep(0.01)
    return times_ms


def _ask(address: tuple[str, int], method: str, path: str, body: str | None) -> None:
    connection = http.client.HTTPConnection(*address, timeout=120)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        connection.getresponse().read()
    finally:
        connection.close()
