"""The lines that the checks in a C program, and its assert, print to its log. It reads no log."""

from __future__ import annotations

import re
from typing import Final

LINE_SAID: Final = re.compile(r"(?:microclaw: )?line \d+(?: column \d+)?: .*|[\w.-]+\.(?:c|cpp|ino):\d+: .*")
"""As programs/wasm/headers/libc/sanitizer.c and programs/wasm/headers/glue/watch.c write them."""
