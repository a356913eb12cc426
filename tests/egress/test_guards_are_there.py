"""scripts/egress_mutations.py finds every guard that it takes away, and names tests that are there."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
MUTATIONS = runpy.run_path(str(ROOT / "scripts" / "egress_mutations.py"))["MUTATIONS"]


def test_each_guard_is_where_the_script_looks_for_it() -> None:
    for mutation in MUTATIONS:
        assert mutation.there in (ROOT / "src" / "microclaw" / mutation.file).read_text(), mutation.name
        assert (ROOT / "tests" / "egress" / mutation.tests).is_file(), mutation.name
