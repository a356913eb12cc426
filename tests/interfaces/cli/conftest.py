"""The command line: in this process where that is enough, else processes of their own; private homes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from unittest.mock import patch

import pytest
from tests.stories.conftest import Ran as Ran
from tests.stories.conftest import environ_of, microclaw, running_host

from microclaw.interfaces.cli.main import main

TIMEOUT_S = 60
Run: TypeAlias = Callable[..., Ran]
clean_environ = environ_of
run_in = microclaw


def run_here(home: Path, *words: str | Path, stdin: str = "", environ: Mapping[str, str] | None = None) -> Ran:
    """`run_in` without the time that a process takes to start."""
    out = io.BytesIO()
    err = io.BytesIO()
    streams = {"stdin": io.BytesIO(stdin.encode()), "stdout": out, "stderr": err}
    texts: dict[str, Any] = {
        name: io.TextIOWrapper(stream, "utf-8", write_through=True) for name, stream in streams.items()
    }
    with patch.dict(os.environ, {**environ_of(home), **(environ or {})}, clear=True), patch.multiple(sys, **texts):
        code = main([str(word) for word in words])
    return Ran(code, out.getvalue().decode(), err.getvalue().decode())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `microclaw WORDS` with an empty home and no host."""
    return lambda *words, **given: run_here(tmp_path / "home", *words, **given)


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A running host with virtual-1, for all files: its ready document. A test leaves it as it was."""
    with running_host(tmp_path_factory.mktemp("host") / "home", "--virtual", "1") as running:
        yield running.facts


@pytest.fixture
def home(host: dict[str, Any]) -> Path:
    """Of the running host."""
    return Path(host["home"])


@pytest.fixture
def ask(home: Path) -> Run:
    """Run `microclaw WORDS` beside the running host."""
    return lambda *words, **given: run_here(home, *words, **given)
