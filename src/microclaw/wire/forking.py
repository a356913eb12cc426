"""The request to a process that forks others (virtual/forking.py), one line of JSON with four descriptors."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

READY: Final = b"ready\n"
"""What that process says before the first request."""
EXIT_CODE_BYTES: Final = 4
"""The length of the exit code, which the last of the descriptors gets when the process has ended."""
_SIGTERM: Final = 15
DESCRIPTOR_COUNT: Final = 4
"""stdin, stdout, stderr, exit code"""


class ForkRequest(Struct, frozen=True):
    """What `python -m WORDS` would be started with. Its answer is a line with the process's id."""

    words: tuple[str, ...]
    cwd: str
    environ: dict[str, str]
    leads_session: bool


def exit_code(data: bytes) -> int:
    """Return the exit code that was sent, negative for a signal: SIGTERM's if the process that forks ended before."""
    if len(data) < EXIT_CODE_BYTES:
        return -_SIGTERM
    return int.from_bytes(data, "big", signed=True)
