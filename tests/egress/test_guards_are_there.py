"""scripts/egress_mutations.py finds every guard that it takes away, and names tests that are there."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MUTATIONS = runpy.run_path(str(ROOT / "scripts" / "egress_mutations.py"))["MUTATIONS"]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_guard_is_where_the_script_looks_for_it(mutation: object) -> None:
    file, there, tests = mutation.file, mutation.there, mutation.tests  # type: ignore[attr-defined]
    assert there in (ROOT / "src" / "microclaw" / file).read_text()
    assert (ROOT / "tests" / "egress" / tests).is_file()
