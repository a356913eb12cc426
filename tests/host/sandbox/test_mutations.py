"""scripts/mutations.py finds every guard that it takes away, and names tests that are there."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]
MUTATIONS = runpy.run_path(str(ROOT / "scripts" / "mutations.py"))["MUTATIONS"]
TEXTS = "".join(path.read_text() for path in (ROOT / "tests" / "host" / "sandbox").glob("*.py"))


def test_each_guard_is_where_the_script_looks_for_it() -> None:
    for mutation in MUTATIONS:
        for file, there, instead in mutation.changes:
            assert there in (ROOT / "src" / "microclaw" / file).read_text(), mutation.name
            assert there != instead, mutation.name
        for word in mutation.tests.split(" or "):
            named = word.removeprefix("namespace_").removeprefix("socket_")
            assert named in TEXTS or (ROOT / "tests" / "host" / "egress" / word).is_file(), mutation.name
