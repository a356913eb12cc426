"""The client as a module of other programs: its import is light, and threads share one event loop."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

LOOPS: Final = """
from concurrent.futures import ThreadPoolExecutor
from microclaw.host.operations.blocking import _loop
print(len(set(ThreadPoolExecutor(8).map(lambda _: _loop(), range(8)))))"""


def ran(program: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


def test_the_import_is_light_and_has_nothing_of_a_server() -> None:
    loaded = ran("import sys, microclaw.host.operations.client; print('\\n'.join(sys.modules))")
    assert not loaded & {"pydantic", "fastapi", "httpx2", "sqlite3", "cryptography", "click", "rich"}
    ours = {
        name.removeprefix("microclaw.").removeprefix("host.").split(".")[0]
        for name in loaded
        if name.startswith("microclaw.")
    }
    assert ours <= {
        "conversion",
        "durable",
        "host",
        "operations",
        "wire",
        "events",
        "network_use",
        "errors",
        "text",
        "config",
        "addresses",
        "backoff",
    }


def test_threads_whose_first_calls_come_at_one_time_share_an_event_loop() -> None:
    assert ran(LOOPS) == {"1"}
