"""Jobs in a systemd scope, by a stand-in for systemd-run; and a bubblewrap that fails."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from microclaw.host.sandbox import wrapped_job
from microclaw.host.sandbox.bubblewrap import Descriptors, common_words, waiting
from microclaw.host.sandbox.job import SandboxJob, SandboxLimits
from microclaw.host.sandbox.run import run_sandboxed
from microclaw.host.sandbox.wrapped_job import threads_of

STAND_IN = """#!/bin/sh
echo "$@" > {log}
while [ "$1" != --collect ]; do shift; done
shift
while [ "$1" = -p ]; do shift 2; done
exec "$@"
"""


def test_a_job_is_started_in_a_scope_with_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "systemd-run").write_text(STAND_IN.format(log=tmp_path / "words"))
    (tmp_path / "systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    monkeypatch.setattr(wrapped_job, "has_scope", lambda: True)  # no systemd runs where most tests do
    limits = SandboxLimits(memory_bytes=64 << 20, disk_bytes=1 << 20, processes=9)
    job = SandboxJob(command=["sh", "-c", "echo $XDG_RUNTIME_DIR; id -u"], limits=limits)
    printed = bytearray()
    end = asyncio.run(run_sandboxed(job, tmp_path / "own", printed.extend))
    assert (end.ending, bytes(printed)) == ("ended", b"\n1000\n")
    words = (tmp_path / "words").read_text()
    assert f"-p MemoryMax={(64 + 3 + 32) << 20} -p MemorySwapMax=0 -p TasksMax={threads_of(limits) + 2} " in words
    assert ("--user" in words) != (" setpriv --reuid=60666 --regid=60666 --clear-groups env -i " in words)


def test_a_sandbox_that_fails_while_it_is_made_says_why_in_its_output() -> None:
    words = [*common_words(), "--ro-bind", "/nowhere", "/nowhere"]
    with Descriptors() as opened, waiting(words, ["true"], None, opened, environment={}) as (process, _):
        output, _ = process.communicate()
    assert process.returncode != 0
    assert b"/nowhere" in output
