"""A descriptor above 1,023 can be waited for, as those of a host with a thousand boards are; select() refuses them."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterator

import pytest

from microclaw.readiness import is_readable

HIGH = 1500


@pytest.fixture
def high_pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe, the one that is read with a high number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * HIGH), hard))
    low, end = os.pipe()
    high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, HIGH)
    os.close(low)
    yield high, end
    os.close(high)
    os.close(end)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_high_descriptor_is_waited_for(high_pipe: tuple[int, int]) -> None:
    high, end = high_pipe
    assert not is_readable(high, 0)
    assert not is_readable(high, 0.01)
    os.write(end, b"a")
    assert is_readable(high, None)
    assert is_readable(high, -1), "a time that has passed is a look"
