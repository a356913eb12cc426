"""The texts of each surface: every line that begins with "> " in golden/*.txt is played, its answer stands below it.

`make golden` writes the answers again; a new case is a new line of that kind.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
from collections.abc import Callable
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
from tests.firmware.conftest import micropython
from tests.stories.conftest import Door, Host, member_of, until
from tests.stories.test_mcp import over_stdio
from tests.stories.test_telegram import Bot
from tests.stories.test_telegram import bot as bot
from tests.stories.test_telegram import host as host

from microclaw.host.operations.connection import HostError
from microclaw.interfaces.cli.main import main

FILES = Path(__file__).parent
PROGRAMS = FILES / "programs"
VARIES = (
    (r"/\S*/golden/programs", "PROGRAMS"),
    (r"/\S*/microclaw-virtual-\w+", "FOLDER"),
    (r"/\S*/home\b", "HOME"),
    (r"\b127\.0\.0\.1:\d+|tcp :\d+", "ADDRESS"),
    (r"\b(\d+-)?\d+-\d\d[T ][\d:.]+Z?|(today|tomorrow), [-\d: ]+", "TIME "),
    (r"(change|code|uptime_s|free_heap\w*) \d+", r"\1 N"),
    (r"\b[0-9a-f]{8,64}\b", "HEX"),
    (r"\b[\d.,]+ (s|ms|µs|min|B|KB|edges|bytes|°C|V)(?!\w)", r"N \1"),
    (r"\b(\d+\.\d+|\d{4,})\b", "N"),
    (r"(?m) \| cached|\|{2,}|\s\s+N (µs|ms|s)$", ""),  # a cached step says no time
    (r"(?i)(counted on the board:).*(\n {9}.*)*", r"\1 ..."),
    (r"  +(?=\S)", "  "),
)
CALLS = """
import asyncio, json, runner
from calls import Calls

class Board:
    def own_free(self):
        return 1 << 20

calls = Calls(Board(), runner.Runner(Board(), WORDS[0]), "1")

async def main():
    for line in json.loads(WORDS[1]):
        method, _, params = line.partition(" ")
        error = (await calls.answer(bytes(16), method, json.loads(params or "{}"), True)).get("error", {})
        print("= %s: %s" % (error.get("code"), error.get("message")))

asyncio.run(main())
"""


def command_line(home: Path, capsys: pytest.CaptureFixture[str], words: str) -> str:
    capsys.readouterr()
    code = main(["--home", str(home), *shlex.split(words.replace("PROGRAMS", str(PROGRAMS)))])
    out, err = capsys.readouterr()
    return f"{out}{err}exit code {code}"


def chat(host: Host, sentence: str) -> str:
    try:
        answer = host.client.say(sentence, chat_id="golden")
    except HostError as error:
        return f"{error.code}: {error.message}\nnext: {error.next}"
    if answer.next_step:
        step = f"\nnext: {answer.next_step}"
    else:
        step = ""
    return f"{answer.error_code or 'done'}: {answer.text}{step}"


def http(owner: Door, request: str) -> str:
    method, path, body = [*request.split(" ", 2), ""][:3]
    answer = owner.ask(method, path, body.encode() or None)
    document = answer.last if "ndjson" in answer.headers["content-type"] else answer.json
    error = document.get("error", document)
    return f"{answer.status} {error.get('code')}: {error.get('message')}\nnext: {error.get('next')}"


def telegram(host: Host, bot: Bot, text: str) -> str:
    """The bot's answer; a stranger is paired by the code in it."""
    answer = bot.answer_to(text).text
    code = re.search(r"\b\d{6}\b", answer)
    if code:
        before = len(bot.answers())
        assert host.run("person", "pair", code[0], "--name", "ada", "--role", "member").code == 0
        answer += f"\n{until(lambda: bot.answers()[before:])[0].text}"
    return answer


async def mcp(host: Host, calls: list[str]) -> list[str]:
    found = []
    async with over_stdio(host) as client:
        for call in calls:
            tool, _, arguments = call.partition(" ")
            done = await client.call_tool(tool, json.loads(arguments or "{}"))
            texts = [one.text for one in done.content if one.type == "text"]
            found.append("\n".join(["error" if done.is_error else "result", *texts]))
    return found


def steady(answer: str) -> str:
    """With placeholders for what varies."""
    for pattern, instead in VARIES:
        answer = re.sub(pattern, instead, answer)
    return answer.strip()


def firmware(folder: Path, calls: list[str]) -> list[str]:
    printed = micropython(CALLS, str(folder), json.dumps(calls)).splitlines()
    return [line[2:] for line in printed if line.startswith("= ")]


def each(play: Callable[[str], str]) -> Callable[[list[str]], list[str]]:
    return lambda lines: [play(line) for line in lines]


def test_each_surface_says_what_its_golden_file_has(
    host: Host, bot: Bot, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO())
    monkeypatch.setenv("COLUMNS", "200")
    surfaces: dict[str, Callable[[list[str]], list[str]]] = {
        "no_host": each(partial(command_line, tmp_path / "home", capsys)),
        "command_line": each(partial(command_line, host.home, capsys)),
        "chat": each(partial(chat, host)),
        "http": each(partial(http, member_of(host, "owner", "owner"))),
        "mcp": lambda lines: asyncio.run(mcp(host, lines)),
        "telegram": each(partial(telegram, host, bot)),
        "firmware": partial(firmware, tmp_path),
    }
    wrong = []
    for name, play in surfaces.items():
        file = FILES / f"{name}.txt"
        lines = [line[2:] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("> ")]
        text = "".join(f"> {line}\n{steady(answer)}\n\n" for line, answer in zip(lines, play(lines), strict=True))
        if os.environ.get("MICROCLAW_GOLDEN"):
            file.write_text(text, encoding="utf-8")
        if text != file.read_text(encoding="utf-8"):
            wrong.append((name, text))
    for name, text in wrong:
        assert text == (FILES / f"{name}.txt").read_text(encoding="utf-8"), "if it is meant: make golden"
