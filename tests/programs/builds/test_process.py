"""The compiler's process: bounded in time, memory and output, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest

from microclaw.programs.builds.confinement import FILE_LIMIT_BYTES, MEMORY_LIMIT_BYTES
from microclaw.programs.builds.process import (
    OUTPUT_LIMIT_BYTES,
    BuildCancelled,
    Processes,
    ProcessResult,
    run_in_worker,
)


async def run_compiler(command: list[str], directory: Path, time_limit_s: float = 20.0) -> ProcessResult:
    return await run_in_worker(lambda processes: processes.run(command, directory, time_limit_s=time_limit_s))


def python(code: str, *words: Path) -> list[str]:
    return [sys.executable, "-I", "-c", code, sys.base_prefix, *map(str, words)]  # named: it may be read


async def test_output_and_code_come_back_within_the_limit_and_nothing_of_the_environment_goes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    code = f"print(sorted(os.environ.items()), 'x' * {3 * OUTPUT_LIMIT_BYTES}, file=sys.stderr)"
    finished = await run_compiler(python(f"import os, sys; {code}; sys.exit(3)"), tmp_path)
    assert (finished.returncode, len(finished.output), finished.timed_out) == (3, OUTPUT_LIMIT_BYTES, False)
    assert str(tmp_path) in finished.output
    assert "secret" not in finished.output
    assert finished.took_ms > 0


@pytest.mark.parametrize(
    ("code", "output", "timed_out", "limit_s"),
    [
        ("os.fork(); print('here', flush=True); time.sleep(60)", "here\nhere\n", True, 15.0),
        ("pid = os.fork(); pid or time.sleep(60); print('here', flush=True)", "here\n", None, 15.0),
        ("os.close(1); os.close(2); time.sleep(60)", "", True, 1.0),
    ],
)
async def test_process_and_its_children_are_killed(
    tmp_path: Path, code: str, output: str, timed_out: bool | None, limit_s: float
) -> None:
    finished = await run_compiler(python(f"import os, time; {code}", tmp_path), tmp_path, time_limit_s=limit_s)
    assert finished.output == output
    assert timed_out is None or (finished.timed_out and finished.returncode < 0)
    await all_gone(tmp_path)


async def test_cancelled_build_leaves_no_process_and_starts_nothing_more(tmp_path: Path) -> None:
    code = "import time; open('ready', 'w').close(); time.sleep(60)"
    task = asyncio.create_task(run_compiler(python(code, tmp_path), tmp_path))
    async with asyncio.timeout(60):
        while not (tmp_path / "ready").exists():
            await asyncio.to_thread(os.sched_yield)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await all_gone(tmp_path)
    processes = Processes()
    processes.stop()
    with pytest.raises(BuildCancelled):
        processes.run(python("open('started', 'w')"), tmp_path)
    assert not (tmp_path / "started").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="rlimits are set from outside, which only Linux can")
async def test_file_and_memory_are_held_to_their_limits(tmp_path: Path) -> None:
    code = f"open('big', 'wb').write(bytes({2 * FILE_LIMIT_BYTES}))"
    assert (await run_compiler(python(code), tmp_path)).returncode != 0
    assert (tmp_path / "big").stat().st_size <= FILE_LIMIT_BYTES
    code = f"print('start', flush=True); bytearray({MEMORY_LIMIT_BYTES}); print('end')"
    finished = await run_compiler(python(code), tmp_path)
    assert finished.returncode != 0
    assert finished.output.startswith("start")
    assert "MemoryError" in finished.output


async def all_gone(named: Path) -> None:
    """No process has this path among its words: within a namespace it has another number."""
    async with asyncio.timeout(60):
        while await asyncio.to_thread(running, str(named).encode()):
            pass


def running(word: bytes) -> list[Path]:
    """A killed process that waits for its adopter has no words any more."""
    found = []
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word in words.read_bytes().split(b"\0"):
                found.append(words)
    return found


async def test_process_that_said_its_last_words_is_not_waited_for(tmp_path: Path) -> None:
    code = "import sys, time; [(sys.stdout.write(w), sys.stdout.flush()) for w in ('a la', 'st', ' word')]"
    command = python(f"{code}; time.sleep(60)")
    (finished,) = await run_in_worker(
        lambda processes: processes.run_together([(command, tmp_path)], stop_at=b"last word")
    )
    assert (finished.stopped_at_words, finished.timed_out) == (True, False)
    assert finished.output.startswith("a last word")
