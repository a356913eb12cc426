"""A command line that cannot be read is told in our own words: no library's, no Python name, and what to do next."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from microclaw.cli.main import load_command, main
from microclaw.cli.tried_words import _MEANT

NUMBERS = "there is no schedule {!r}: each has a number"


@pytest.mark.parametrize(
    ("words", "said", "following"),
    [
        (("schedule", "rm"), "microclaw schedule rm needs NUMBER", "microclaw schedule rm --help"),
        (("schedule", "add"), "microclaw schedule add needs WHEN", "microclaw schedule add --help"),
        (("schedule", "add", "at 7:00"), "microclaw schedule add needs WHAT", "microclaw schedule add --help"),
        (("approval", "approve"), "microclaw approval approve needs APPROVAL-ID", "microclaw approval approve --help"),
        (("schedule", "rm", "1", "2"), "microclaw schedule rm has no place for '2'", "microclaw schedule rm --help"),
        (("skill", "list", "a", "b"), "microclaw skill list has no place for 'a b'", "microclaw skill list --help"),
        (("memory", "search", "x", "--limit", "abc"), "--limit is a whole number, not 'abc'", "memory search --help"),
        (("memory", "search", "x", "--limit", "0"), "--limit is at least 1, not '0'", "microclaw memory search --help"),
        (("memory", "search", "x", "--limit", "51"), "--limit is at most 50, not '51'", "memory search --help"),
        (("session", "show", "x", "-n", "1.5"), "--newest is a whole number, not '1.5'", "session show --help"),
        (("logs", "x", "--tail", "-1"), "--tail is at least 0, not '-1'", "microclaw logs --help"),
        (("logs", "x", "--tail", "ten"), "--tail is a whole number, not 'ten'", "microclaw logs --help"),
        (("logs", "x", "--since", "10"), "--since '10': say 30m, 12h, 7d", "microclaw logs --help"),
        (("logs", "x", "--since", "-10m"), "--since '-10m': say 30m, 12h, 7d", "microclaw logs --help"),
        (("usage", "--by", "moon"), "--by: 'moon' is not one of 'day', 'person', 'chat'", "microclaw usage --help"),
        (("schedule", "lst"), "microclaw schedule has no command 'lst': did you mean list?", "schedule --help"),
        (("moon",), "microclaw has no command 'moon'", "microclaw --help"),
        (
            ("setup", "--modle", "x"),
            "microclaw setup has no option --modle: did you mean --model or --model-url?",
            "setup --help",
        ),
        (("skill", "show", "--nope"), "microclaw skill show has no option --nope", "microclaw skill show --help"),
        (("--home",), "--home needs a value", "microclaw --help"),
        (("chat", ""), "MESSAGE: the message has no words", "microclaw chat --help"),
        (("chat", " ", "\t"), "MESSAGE: the message has no words", "microclaw chat --help"),
        (("mcp", "install", "moon"), "'moon' is none of claude-desktop", "microclaw mcp install --help"),
        (("completion", "moon"), "SHELL: 'moon' is not one of bash, zsh, fish", "microclaw completion --help"),
    ],
)
def test_a_line_that_cannot_be_read_says_what_is_wrong_in_plain_words(
    words: tuple[str, ...], said: str, following: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(words)) == 2
    told = capsys.readouterr()
    error, after = told.err.splitlines()
    assert error.startswith(f"error: {said}")
    assert after.startswith("next: ")
    assert after.endswith(following)
    assert told.out == ""


@pytest.mark.parametrize("number", ["nope", "", "0", "-3", "1.5", "9" * 30, "\u0663", "1 2"])
@pytest.mark.parametrize("command", ["rm", "run", "show", "resume"])
def test_what_is_no_number_is_no_schedule(command: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", command, "--", number]) == 1
    said = NUMBERS.format(number)
    assert capsys.readouterr().err == f"error: {said}\nnext: see them: microclaw schedule list\n"


@pytest.mark.parametrize(
    ("words", "following"),
    [
        (("skill", "show"), "microclaw skill list"),
        (("skill", "check"), "microclaw skill list"),
        (("session", "show"), "microclaw session list"),
        (("session", "rm"), "microclaw session list"),
        (("approval", "approve"), "the list command of the same group shows the names"),
    ],
)
@pytest.mark.parametrize("name", ["", " ", "a/b", "../x"])
def test_a_name_that_nothing_has_is_asked_of_no_host(
    words: tuple[str, ...], following: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, name]) == 1
    assert capsys.readouterr().err == f"error: there is nothing named {name!r} here\nnext: {following}\n"


@pytest.mark.parametrize(
    ("words", "said", "following"),
    [
        (("memory", "show", "nope"), "there is no text 'nope': their names end in .md", "memory search nope"),
        (("memory", "show", ""), "there is no text '': their names end in .md", "microclaw memory show"),
        (("memory", "search", ""), "there is nothing to look for", "microclaw memory search WORDS"),
        (("schedule", "add", "", "turn on pin 4"), "a schedule has a time and something to do", 'turn on pin 4"'),
        (("schedule", "add", "at 7:00", " "), "a schedule has a time and something to do", 'turn on pin 4"'),
    ],
)
def test_what_is_empty_or_nowhere_is_one_sentence_with_what_to_do(
    words: tuple[str, ...], said: str, following: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(words)) == 1
    error, after = capsys.readouterr().err.splitlines()
    assert error == f"error: {said}"
    assert after.endswith(following)


@pytest.mark.parametrize(
    ("line", "following"),
    [
        ("version", "microclaw --version"),
        ("esp32s3", "microclaw flash finds the chip and the port itself"),
        ("flash esp32s3", "microclaw flash finds the chip and the port itself"),
        ("device flash", "microclaw flash --help"),
        ("install", "microclaw run FILE -d DEVICE"),
        ("list", "microclaw device list shows the boards, microclaw app list the programs"),
        ("ls", "microclaw device list"),
        ("ps", "microclaw device list"),
        ("start", "microclaw up starts the host"),
        ("stop", "microclaw app stop NAME"),
        ("login", "microclaw open for a browser"),
        ("update", "microclaw app upgrade NAME FILE"),
        ("Upgrade", "microclaw app upgrade NAME FILE"),
        ("monitor", "microclaw logs DEVICE -f"),
        ("compile", "microclaw app build FILE"),
        ("build", "microclaw app build FILE"),
        ("device ls", "microclaw device list --help"),
        ("device delete", "microclaw device remove --help"),
        ("token delete", "microclaw token rm --help"),
        ("app compile", "microclaw app build --help"),
        ("app run", "microclaw run --help"),
    ],
)
def test_a_word_from_elsewhere_leads_to_the_command_that_does_it(
    line: str, following: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    error, after = capsys.readouterr().err.splitlines()
    assert repr(line.split()[-1]) in error
    assert after.startswith(f"next: {following}")


def test_each_command_that_a_wrong_word_leads_to_is_there() -> None:
    for told in set(_MEANT.values()):
        named = re.findall(r"microclaw ([a-z]+)(?: ([a-z]+)\b)?", told)
        assert named or "microclaw --" in told
        for group, word in named:
            commands = getattr(load_command(group), "commands", None)
            assert commands is None or word in commands, told


def test_the_document_of_a_wrong_line_has_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "memory", "search", "x", "--limit", "abc"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["message"]) == ("usage", "--limit is a whole number, not 'abc'")
    assert error["next"] == "microclaw memory search --help"


def test_a_group_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule"]) == 2
    assert "Usage: microclaw schedule" in "".join(capsys.readouterr())


def test_without_a_host_a_good_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MICROCLAW_HOME", str(tmp_path))
    assert main(["schedule", "rm", "1"]) == 3
    assert "no host is running here" in capsys.readouterr().err
