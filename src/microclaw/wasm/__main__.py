"""`python -m microclaw.wasm` builds our own C into the cache, so that no program waits for it; set-up calls it."""

from __future__ import annotations

import asyncio
import os
import sys

from microclaw.config.places import cache_folder
from microclaw.errors import MicroclawError
from microclaw.wasm.libraries import build_glue
from microclaw.wasm.toolchain import find_toolchain


def main() -> int:
    """Build what is missing."""
    try:
        asyncio.run(build_glue(find_toolchain(), cache_folder(os.environ)))
    except MicroclawError as exc:
        sys.stderr.write(f"error: {exc.message}\nnext: {exc.next_step}\n")
        return 1
    sys.stdout.write("C library ready\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
