"""The command line as a person runs it: processes of their own, private homes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.stories.conftest import Ran as Ran
from tests.stories.conftest import environ_of, microclaw, running_host

TIMEOUT_S = 60
Run: TypeAlias = Callable[..., Ran]
clean_environ, run_in = environ_of, microclaw


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `microclaw WORDS` with an empty home and no host."""
    return lambda *words, stdin="": run_in(tmp_path / "home", *words, stdin=stdin)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A running host with virtual-1; its ready document."""
    with running_host(tmp_path_factory.mktemp("host") / "home", "--virtual", "1") as running:
        yield running.facts


@pytest.fixture
def ask(host: dict[str, Any]) -> Run:
    """Run `microclaw WORDS` beside the running host."""
    return lambda *words, **given: run_in(Path(host["home"]), *words, **given)
