"""`microclaw task`, with a host in this process and the command line as people call it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import tty
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from microclaw.app import running_host
from microclaw.cli.chat_commands import Conversation
from microclaw.cli.task_commands import MAX_FILE_BYTES, code_language, end_text
from microclaw.config.load import load_settings
from microclaw.errors import ConfigError
from microclaw.events import Answer, ResultFile
from microclaw.host_client.client import HostClient
from microclaw.terminal.page import Terminal, look_for


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    settings = load_settings({}, home=tmp_path / "home", http_port=None)
    async with running_host(settings):
        yield settings.home


async def microclaw(home: Path, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "microclaw", "--home", str(home), *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=home.parent,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate(stdin)
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_task_is_run_shown_and_its_file_fetched(home: Path) -> None:
    folder = home.parent
    (folder / "in.txt").write_text("hello")
    (folder / "up.py").write_text(
        "t = open('in.txt').read()\nprint(t, '\\x1b[2J')\nopen('out.txt', 'w').write(t.upper())"
    )
    code, out, err = await microclaw(home, "task", "run", "up.py", "--with", "in.txt", "--keep", "out.txt")
    assert (code, out) == (0, "hello \x1b[2J\n"), err
    assert "task 1: done, exit code 0" in err
    code, out, _ = await microclaw(home, "task", "get", "1", "out.txt")
    assert (code, (folder / "out.txt").read_text()) == (0, "HELLO")
    code, _, err = await microclaw(home, "task", "get", "1", "out.txt")
    assert code == 1
    assert "is there already" in err
    code, out, _ = await microclaw(home, "--json", "task", "show", "1")
    shown: dict[str, Any] = json.loads(out)
    assert (shown["schema"], shown["state"], shown["by"]) == ("microclaw.task/1", "done", "owner")
    code, out, _ = await microclaw(home, "task", "list")
    assert "done" in out


async def test_a_file_goes_in_under_another_name_and_a_name_that_is_too_long_is_told_with_its_limit(home: Path) -> None:
    folder = home.parent
    (folder / 'q"uo.txt').write_text("hello")
    (folder / "a=b.txt").write_text("equals")
    read = b"print(open('data/in.txt').read(), open('a=b.txt').read())"
    given = ("--with", 'data/in.txt=q"uo.txt', "--with", "a=b.txt")
    code, out, err = await microclaw(home, "task", "run", "-", *given, stdin=read)
    assert (code, out) == (0, "hello equals\n"), err
    code, _, err = await microclaw(home, "task", "run", "-", "--with", "in.txt=", stdin=read)
    assert code == 1
    assert "'in.txt=' is not NAME=FILE" in err
    code, _, err = await microclaw(home, "task", "run", "-", "--with", f"{'n' * 120}=a=b.txt", stdin=read)
    assert code == 1
    assert "has 120 characters, at most 100" in err
    assert "next: give the file a shorter name" in err
    with (folder / "big").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 7)
    code, _, err = await microclaw(home, "task", "run", "-", "--with", "big", stdin=read)
    assert code == 1
    assert "big has 4,194,311 bytes, at most 4,194,304" in err


async def test_what_goes_into_a_pipe_is_unchanged_and_on_a_terminal_cleaned(home: Path) -> None:
    printed = "a,b\r\n1\u00a0000,\u202ex\u200b\rend"
    words = ("task", "run", "-", "--keep", "out put.txt")
    source = f"import sys; open('out put.txt', 'w').write('x'); sys.stdout.buffer.write({printed.encode()!r})"
    code, out, err = await microclaw(home, *words, stdin=source.encode())
    assert (code, out) == (0, printed), err
    assert "microclaw task get 1 'out put.txt'" in err
    ours, theirs = os.openpty()
    try:
        tty.setraw(theirs)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "microclaw", "--home", str(home), "task", "show", "1", "--output", stdout=theirs
        )
        async with asyncio.timeout(60):
            assert await process.wait() == 0
        assert os.read(ours, 1_000).decode() == "a,b\n1 000,x\nend\n"
    finally:
        os.close(ours)
        os.close(theirs)


async def test_a_file_that_was_not_written_is_told_and_a_pipe_is_not_read(home: Path) -> None:
    code, out, err = await microclaw(home, "--json", "task", "run", "-", "--keep", "nope", stdin=b"print(1)")
    assert (code, json.loads(out)["not_kept"]) == (0, {"nope": "it was not written"})
    assert "nope is not kept: it was not written" in err
    os.mkfifo(home.parent / "pipe")
    code, _, err = await microclaw(home, "task", "run", "-", "--with", "pipe", stdin=b"print(1)")
    assert code == 1
    assert "pipe is no plain file" in err
    assert "next: " in err


async def test_code_from_the_input_that_fails_is_exit_code_1(home: Path) -> None:
    code, out, err = await microclaw(home, "task", "run", "-", "--language", "shell", stdin=b"echo no; exit 3")
    assert (code, out.splitlines()[0]) == (1, "no"), err
    assert "task 1: failed, exit code 3" in err
    code, out, _ = await microclaw(home, "--json", "task", "run", "-", stdin=b"print(6 * 7)")
    assert (code, json.loads(out)["output"]) == (0, "42\n")
    code, _, err = await microclaw(home, "task", "run", "missing.py")
    assert code == 1
    assert "next: " in err
    code, _, err = await microclaw(home, "task", "show", "nothing")
    assert code == 1
    assert "microclaw task list" in err


async def test_languages_as_people_type_them_and_the_cancelling_of_what_has_ended(home: Path) -> None:
    code, out, err = await microclaw(home, "--json", "task", "run", "-", "--language", "sh", stdin=b"echo 42")
    assert (code, json.loads(out)["language"], json.loads(out)["output"]) == (0, "shell", "42\n"), err
    code, _, err = await microclaw(home, "--json", "task", "cancel", "1")
    assert code == 1
    assert "it has ended already: task 1: done, exit code 0" in err
    assert "next: microclaw task show 1 --output" in err
    code, _, err = await microclaw(home, "task", "run", "-", "--language", "bash", stdin=b"echo 42")
    assert code == 1
    assert "shell code is run by sh" in err
    assert "use shell" in err


async def test_all_of_fast_output_arrives_and_what_is_not_kept_is_said(home: Path) -> None:
    whole = "".join(f"{n:04} {'x' * 60}\n" for n in range(3000))
    code, out, err = await microclaw(
        home, "task", "run", "-", stdin=b"for n in range(3000): print(f'{n:04}', 'x' * 60)"
    )
    assert (code, out == whole) == (0, True), err
    code, out, _ = await microclaw(home, "task", "show", "1", "--output")
    assert (code, out == whole) == (0, True)
    code, out, err = await microclaw(home, "task", "show", "1", "--tail", "2")
    assert (code, out, err) == (0, "".join(whole.splitlines(keepends=True)[-2:]), "")
    code, out, _ = await microclaw(home, "--json", "task", "show", "1")
    assert json.loads(out)["output"] == whole
    (home / "tasks" / "1" / "output").unlink()
    code, out, err = await microclaw(home, "task", "show", "1", "--output")
    assert (code, len(out)) == (0, 64 << 10)
    assert f"{len(whole) - len(out):,} bytes that it printed here are not kept" in err


async def test_code_that_is_not_utf_8_and_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes("# -*- coding: latin-1 -*-\nprint('é')".encode("latin-1"))
    code, _, err = await microclaw(tmp_path / "home", "task", "run", str(tmp_path / "latin.py"))
    assert code == 1
    assert "latin.py is not UTF-8: byte 34 is 0xe9" in err
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.txt").write_text(name)
    words = [word for name in ("a", "b") for word in ("--with", str(tmp_path / name / "same.txt"))]
    code, _, err = await microclaw(tmp_path / "home", "task", "run", "-", *words, stdin=b"print(1)")
    assert code == 1
    assert "would both be same.txt" in err


@pytest.mark.parametrize(
    ("name", "code", "language"),
    [
        ("a.PY", "#!/bin/sh\n", "python"),
        ("a.mjs", "", "javascript"),
        ("a.cjs", "", "javascript"),
        ("noext", "#!/usr/bin/env -S python3.12 -u\n", "python"),
        ("-", "#! /bin/sh\n", "shell"),
        ("-", "#!/usr/bin/node", "javascript"),
        ("-", "print(1)", "python"),
    ],
)
def test_the_language_goes_by_the_suffix_then_by_the_first_line(name: str, code: str, language: str) -> None:
    assert code_language(Path(name), code) == language


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        ("a.ts", "let a: number = 1", "a.ts does not say which language"),
        ("noext", "print(1)", "noext does not say which language"),
        ("a.bash", "#!/bin/bash\n", "a.bash asks for 'bash'"),
        ("-", "#!/usr/bin/env ruby\n", "the input asks for 'ruby'"),
    ],
)
def test_code_of_an_unknown_language_is_refused(name: str, code: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        code_language(Path(name), code)
    assert "--language" in str(refused.value.next_step)


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("cancelled", "task 7: cancelled, 1"),
        ("too_much_output", "task 7: failed, too much output, 1"),
        ("", "task 7: running, 1"),
    ],
)
def test_how_a_task_ended_is_said_once(ending: str, said: str) -> None:
    state = {"cancelled": "cancelled", "": "running"}.get(ending, "failed")
    task = {"task": 7, "state": state, "ending": ending or None, "reason": None, "started_ms": 0, "ended_ms": 1_000}
    assert end_text(task).startswith(said)


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        (Path("/home/eva/tasks"), "/home/eva/tasks/12/files/out/plot.png"),
        (None, "microclaw task get 12 out/plot.png -o plot.png"),
    ],
)
def test_the_chat_says_where_a_file_of_an_answer_is(saved: Path | None, told: str) -> None:
    out = io.StringIO()
    conversation = Conversation(HostClient(Path("unused")), None, "terminal", saved=saved)
    answer = Answer("here", files=(ResultFile(12, "out/plot.png", "image/png", 3),))
    conversation.tell_files(Terminal(out, look_for(out, {})), answer)
    assert told in "".join(out.getvalue().split("\n"))
