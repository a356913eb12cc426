"""Settings of all tests: properties with the same examples each time, so that a red test says something of the change.

`make fuzz` looks for new ones. A failure is named as soon as it happens, not only at the end.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from tests.bounds import pytest_runtest_call as pytest_runtest_call
from tests.bounds import pytest_runtest_setup as pytest_runtest_setup
from tests.bounds import pytest_runtest_teardown as pytest_runtest_teardown
from tests.postgres import PostgresServer, running_server
from tests.scheduling import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler
from tests.stores import new_store

from microclaw.host.store.database import Database
from microclaw.host.store.postgres import SharedDatabase

# A shell that starts a job in the background has it ignore Ctrl-C, and so would every process that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# readline puts the terminal's size into the environment, and the workers of a run would have it from the first process.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)

settings.register_profile(
    "same-each-time",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,  # the same ones each time: more of them find nothing new
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "new-each-time", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("new-each-time" if os.environ.get("MICROCLAW_FUZZ") else "same-each-time")


SLOW = frozenset(Path(__file__).with_name("slow.txt").read_text(encoding="utf-8").split())


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collects without garbage collection: what thousands of modules and tests make, all stays.

    The first worker of a run collects before the others, which read what it compiled: in a new clone that is most of
    the time.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    base = session.config.option.basetemp
    if worker and base:
        collected = Path(base).parent / "collected"
    else:
        collected = None
    if collected and worker != "gw0":
        latest_s = time.monotonic() + 120  # it may have been ended
        while not collected.exists() and time.monotonic() < latest_s:
            time.sleep(0.05)
    gc.disable()
    try:
        return (yield)
    finally:
        if collected:
            collected.touch()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of the files in slow.txt: `make test` leaves them to `make test-slow`."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix() in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One for all tests of this process; not in pytest's folder, which each run that begins closes to all but root."""
    with TemporaryDirectory(prefix="microclaw-postgres-") as folder, running_server(Path(folder)) as server:
        yield server


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    """Of an empty database of the test's own."""
    return postgres.new_database()


@pytest.fixture(scope="session")
def build_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiler cache of all workers of this run: our C library is built in it once."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "build"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(new_store(tmp_path / "home" / "store.db")) as opened:
        yield opened


OpenStore: TypeAlias = Callable[[Path], AbstractAsyncContextManager[Database]]


@pytest.fixture(params=["sqlite", "postgres"])
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """Opens the store of that path, on either engine; on PostgreSQL a test has one, whatever the path."""
    if request.param == "sqlite":
        return lambda path: Database.open(new_store(path))
    url: str = request.getfixturevalue("database_url")
    return lambda _path: SharedDatabase.opened(url, "a")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # with xdist, the process that reports
        config.pluginmanager.register(_NamedAtOnce(config))


class _NamedAtOnce:
    """Prints each failure's name when it comes."""

    def __init__(self, config: pytest.Config) -> None:
        self._terminal = config.pluginmanager.get_plugin("terminalreporter")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self._terminal is not None:
            self._terminal.write_line(f"\nfailed: {report.nodeid} ({report.when})", red=True)
