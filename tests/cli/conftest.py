"""The command line as a person runs it: processes of their own, private homes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from microclaw.cli.child import Child

TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


Run: TypeAlias = Callable[..., Ran]


def clean_environ(home: Path) -> dict[str, str]:
    """This environment without model keys, colour wishes, or somebody's home."""
    kept = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    for name in ("NO_COLOR", "MICROCLAW_HOST", "MICROCLAW_TOKEN"):
        kept.pop(name, None)
    return {**kept, "MICROCLAW_HOME": str(home)}


def run_in(
    home: Path, *words: str, stdin: str = "", timeout_s: float = TIMEOUT_S, environ: Mapping[str, str] | None = None
) -> Ran:
    done = subprocess.run(
        [sys.executable, "-m", "microclaw.cli", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**clean_environ(home), **(environ or {})},
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


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
