"""`microclaw task`, with a host in this process and the command line as people call it."""

from __future__ import annotations

import asyncio
import os
import sys
import tty
from pathlib import Path

from microclaw.app import running_host
from microclaw.host.config.load import load_settings


async def microclaw(home: Path, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "microclaw", "--home", str(home), *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=home.parent,
    )  # fmt: skip
    out, err = await process.communicate(stdin)
    return process.returncode or 0, out.decode(), err.decode()


async def test_what_goes_into_a_pipe_is_unchanged_and_on_a_terminal_cleaned(tmp_path: Path) -> None:
    printed = "a,b\r\n1\u00a0000,\u202ex\u200b\rend"
    words = ("task", "run", "-", "--keep", "out put.txt")
    source = f"import sys; open('out put.txt', 'w').write('x'); sys.stdout.buffer.write({printed.encode()!r})"
    home, (ours, theirs) = tmp_path / "home", os.openpty()
    async with running_host(load_settings({}, home=home, http_port=None)), asyncio.timeout(60):
        code, out, err = await microclaw(home, *words, stdin=source.encode())
        assert (code, out) == (0, printed), err
        tty.setraw(theirs)
        command = (sys.executable, "-m", "microclaw", "--home", str(home), "task", "get", "1")
        process = await asyncio.create_subprocess_exec(*command, stdout=theirs)
        assert await process.wait() == 0
    assert os.read(ours, 1_000).decode() == "a,b\n1 000,x\nend\n"
    os.close(ours)
    os.close(theirs)
