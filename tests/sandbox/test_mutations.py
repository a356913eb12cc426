"""scripts/sandbox_mutations.py finds every guard that it takes away, and names tests that are there."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MUTATIONS = runpy.run_path(str(ROOT / "scripts" / "sandbox_mutations.py"))["MUTATIONS"]
TEXTS = "".join(path.read_text() for path in (ROOT / "tests" / "sandbox").glob("*.py"))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_guard_is_where_the_script_looks_for_it(mutation: object) -> None:
    for file, there, instead in mutation.changes:  # type: ignore[attr-defined]
        assert there in (ROOT / "src" / "microclaw" / "sandbox" / file).read_text()
        assert there != instead
    for word in mutation.tests.split(" or "):  # type: ignore[attr-defined]
        assert word.removeprefix("namespace_").removeprefix("socket_") in TEXTS
