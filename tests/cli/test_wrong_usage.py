"""A command line that cannot be read is told in our own words: no library's, no Python name, and what to do next."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from microclaw.cli.main import load_command, main
from microclaw.cli.tried_words import MEANT

WRONG = """schedule rm
schedule rm nope
schedule rm 0
schedule run 999999999999999999999999
schedule add '' x
schedule add 7:00 ' '
memory search ''
schedule rm 1 2
memory skills a b
memory search x --limit 51
logs x --tail -1
logs x --since 10
status --usage --by moon
moon
setup --modle x
app stop
schedule rm
person add
firmware trust
device rename kitchen
--home
chat ''
--completion moon
person tokens --add a --rm b
memory sessions --rm x -n 3
run x.c --for 5s
run x.c --try --force"""


@pytest.mark.parametrize("line", WRONG.splitlines())
def test_a_line_that_cannot_be_read_is_an_error_and_a_next_step(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(line)) == 2
    told = capsys.readouterr()
    assert [one.partition(" ")[0] for one in told.err.splitlines()] == ["error:", "next:"]
    assert told.out == ""


@pytest.mark.parametrize(
    "words", ["memory skills", "memory check-skills", "memory sessions", "memory sessions --rm", "approval list"]
)
def test_a_name_that_nothing_has_is_asked_of_no_host(words: str) -> None:
    """With a host to ask it would be exit code 3: none runs."""
    for name in ("", " ", "a/b", "../x"):
        assert main([*words.split(), name]) in (1, 2)


def test_each_command_that_a_wrong_word_leads_to_is_there() -> None:
    for told in set(MEANT.values()):
        named = re.findall(r"microclaw ([a-z]+)(?: ([a-z]+)\b)?", told)
        assert named or "microclaw --" in told
        for group, word in named:
            commands = getattr(load_command(group), "commands", None)
            assert commands is None or word in commands, told


def test_a_wrong_line_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "memory", "search", "x", "--limit", "abc"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "usage"
