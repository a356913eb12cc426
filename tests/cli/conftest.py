"""The command line as a person runs it: processes of their own, private homes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.stories.conftest import Ran as Ran
from tests.stories.conftest import environ_of, microclaw

from microclaw.cli.child import Child

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
    home = tmp_path_factory.mktemp("home")
    words = ["microclaw.cli", "--json", "up", "--port", "0", "--virtual", "1", "--die-with-parent"]
    with Child("host", words, log=home / "stderr", environ=clean_environ(home)) as child:
        yield child.wait_ready()[0]


@pytest.fixture
def ask(host: dict[str, Any]) -> Run:
    """Run `microclaw WORDS` beside the running host."""
    return lambda *words, **given: run_in(Path(host["home"]), *words, **given)
