"""egress.yaml: each mistake with its line, all at once; and the commands that show, check and try it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from microclaw.cli.doctor import egress_findings
from microclaw.cli.main import main
from microclaw.cli.security_settings import egress_findings as security_findings
from microclaw.config.yaml_file import FileMistakes
from microclaw.egress.allowlist import MAX_BYTES, read_allowlist
from microclaw.egress.policy import AllowlistSource
from microclaw.errors import ConfigError

RIGHT = """\
allow:
  - host: api.example.com
  - host: "*.weather.example"
    ports: [443, 8443]
    methods: [GET, HEAD]
    secret: weather
    header: "Authorization: Bearer {secret}"
    tasks: [report]
    requests_per_minute: 10
    bytes_per_task: 1000
    bytes_per_day: 5000
limits: {requests_per_minute: 60, connections: 4}
"""
WRONG = """\
allow:
  - host: 10.0.0.1
  - hots: x
  - host: "*.com"
    ports: [0, x]
    methods: [GTE]
    tls: yes
    secret: Bad Name
    header: "Host: {secret}"
    tasks: all of them
  - host: a.example.com
    secret: key
  - host: https://a.example.com/
  - host: a.example.com
    header: X-Key
  - host: b.example.com
    secret: key
    header: "X-Key: {secret}{secret}"
    requests_per_minute: 0
  - host: c.example.com
    host: c.example.com
limits: {connections: 0, bytes_per_day: ten}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def written(text: str | bytes) -> Path:
        path = tmp_path / "egress.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def test_every_mistake_has_its_line(write: Callable[[str | bytes], Path]) -> None:
    with pytest.raises(FileMistakes) as failed:
        read_allowlist(write(WRONG))
    lines = [one.line for one in failed.value.diagnostics]
    assert lines == [2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 12, 13, 15, 18, 19, 21, 22, 22]
    assert all(one.hint for one in failed.value.diagnostics)


@pytest.mark.parametrize(
    "text",
    ["", "allow: x", "[]", "allow: [", "allow:\n\t- x", "allow: [1]", b"\xff\xfe\xff", "limits: {connections: 3}",
     "a: &a [*a]", "allow: [{host: }]", "allow: " + "[" * 5000, "allow: [{? [a]: b}]",
     "allow: [{host: x.y, ports: 443}]"],
)  # fmt: skip
def test_what_is_no_allowlist_is_a_mistake(write: Callable[[str | bytes], Path], text: str | bytes) -> None:
    with pytest.raises(FileMistakes) as failed:
        read_allowlist(write(text))
    assert all(one.line for one in failed.value.diagnostics)


def test_a_file_that_is_too_long_or_no_file_is_not_read(write: Callable[[str | bytes], Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="more than"):
        read_allowlist(write("#" * (MAX_BYTES + 1)))
    (tmp_path / "link.yaml").symlink_to(tmp_path / "egress.yaml")
    with pytest.raises(ConfigError):
        read_allowlist(tmp_path / "link.yaml")


def test_no_file_allows_nothing(tmp_path: Path) -> None:
    assert read_allowlist(tmp_path / "egress.yaml").entries == ()
    assert AllowlistSource(tmp_path).problem is None


def test_a_file_that_becomes_wrong_is_not_replaced_by_the_last_good_one(
    write: Callable[[str | bytes], Path], tmp_path: Path
) -> None:
    write(RIGHT)
    source = AllowlistSource(tmp_path)
    assert len(source.current().entries) == 2
    write(WRONG)
    with pytest.raises(FileMistakes):
        source.current()
    assert source.problem is not None
    assert "tasks have no network" in source.problem
    write(RIGHT)
    assert len(source.current().entries) == 2


def test_check_tells_all_mistakes_and_fails(
    write: Callable[[str | bytes], Path], tmp_path: Path, run: Callable[..., tuple[int, str]]
) -> None:
    write(WRONG)
    code, text = run("egress", "check")
    assert code == 1
    assert text.count(": error: ") == 18
    code, document = run("egress", "check", "--json")
    assert code == 1
    assert len(json.loads(document)["mistakes"]) == 18
    write(RIGHT)
    code, text = run("egress", "check")
    assert code == 1
    assert "there is no secret weather" in text
    run("secret", "set", "weather", "-", stdin="a-long-value\n")
    assert run("egress", "check")[0] == 0


@pytest.mark.parametrize(
    ("words", "allowed", "said"),
    [
        (("GET", "https://api.example.com/x"), True, "line 2"),
        (("CONNECT", "api.example.com:443"), True, "line 2"),
        (("GET", "http://api.example.com/x"), False, "port 80"),
        (("GET", "https://a.weather.example/"), False, "not allowed for this task"),
        (("GET", "https://a.weather.example/", "--task", "report"), True, "line 3"),
        (("get", "http://a.weather.example:8443/", "--task", "report"), True, "line 3"),
        (("POST", "https://a.weather.example/", "--task", "report"), False, "POST is not allowed"),
        (("CONNECT", "a.weather.example:443", "--task", "report"), False, "cannot be seen"),
        (("GET", "https://weather.example/", "--task", "report"), False, "not on the allowlist"),
        (("GET", "http://127.0.0.1/"), False, "no host's name"),
        (("GET", "nonsense"), False, "whole addresses"),
    ],
)
def test_a_request_is_tried_without_connecting(
    write: Callable[[str | bytes], Path], run: Callable[..., tuple[int, str]], words: tuple[str, ...], allowed: bool,
    said: str,
) -> None:  # fmt: skip
    write(RIGHT)
    run("secret", "set", "weather", "-", stdin="a-long-value\n")
    code, text = run("egress", "test", *words, "--json")
    found = json.loads(text)
    assert found["allowed"] is allowed
    assert said in found["why"]
    assert code == (0 if allowed else 1)


@pytest.mark.parametrize(
    "host",
    ["localhost", "nas", "printer.local", "*.corp.internal", "router.lan", "x.home.arpa", "a.localhost", "LOCALHOST.",
     "*.co.uk", "*.github.io", "*.s3.amazonaws.com"],
)  # fmt: skip
def test_private_names_and_suffixes_of_everybody_are_mistakes(write: Callable[[str | bytes], Path], host: str) -> None:
    with pytest.raises(FileMistakes) as failed:
        read_allowlist(write(f"allow:\n  - host: api.example.com\n  - host: '{host}'\n"))
    (mistake,) = failed.value.diagnostics
    assert mistake.line == 3
    assert ("private network" in mistake.message) is not host.startswith("*.") or "internal" in host


def test_names_below_a_suffix_of_everybody_and_like_private_ones_are_allowed(
    write: Callable[[str | bytes], Path],
) -> None:
    hosts = ("ada.github.io", "*.bbc.co.uk", "home.example.com", "local.example", "*.lan.example.org")
    text = "allow:\n" + "".join(f"  - host: '{host}'\n" for host in hosts)
    assert tuple(entry.host for entry in read_allowlist(write(text)).entries) == hosts


def test_an_entry_that_never_decides_is_told_and_one_that_differs_is_not(write: Callable[[str | bytes], Path]) -> None:
    first = "allow:\n  - {host: a.example.com, methods: [GET], ports: [443, 8443]}\n"
    with pytest.raises(FileMistakes) as failed:
        read_allowlist(write(f"{first}  - {{host: a.example.com, methods: [GET], requests_per_minute: 3}}\n"))
    (mistake,) = failed.value.diagnostics
    assert (mistake.line, "line 2 has it" in mistake.message) == (3, True)
    for other in ("methods: [POST]", "methods: [GET], tasks: [x]", "methods: [GET], ports: [444]"):
        assert len(read_allowlist(write(f"{first}  - {{host: a.example.com, {other}}}\n")).entries) == 2


def test_a_missing_secret_is_told_by_test_and_doctor(
    write: Callable[[str | bytes], Path], run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    write(RIGHT)
    words = ("egress", "test", "GET", "https://a.weather.example/", "--task", "report")
    code, text = run(*words)
    assert (code, text.splitlines()[0]) == (1, "allowed, but secret weather is missing: line 3 allows it")
    code, document = run(*words, "--json")
    assert (code, json.loads(document)["secret_missing"]) == (1, "weather")
    found = [(one.ok, one.text) for one in egress_findings(tmp_path)]
    assert [ok for ok, _ in found] == [True, False]
    assert "no secret weather" in found[1][1]
    assert "(line 3: *.weather.example)" in found[1][1]
    for word in ("show", "status"):
        code, text = run("egress", word)
        assert (code, "weather (missing)" in text) == (0, True)
        assert "next: microclaw secret set weather @FILE" in text
    assert json.loads(run("egress", "show", "--json")[1])["secrets_missing"] == ["weather"]
    (of_security, *_) = security_findings(tmp_path)
    assert (of_security.ok, of_security.next_step) == (False, "microclaw secret set weather @FILE")
    assert "line 3: *.weather.example" in of_security.text
    run("secret", "set", "weather", "-", stdin="a-long-value\n")
    assert run(*words)[0] == 0
    assert [one.ok for one in egress_findings(tmp_path)] == [True]


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (("GET", "https://new.example/"), "below allow: - {host: new.example}"),
        (("GET", "http://api.example.com/x"), "line 2: ports: [443, 80]"),
        (("GET", "https://a.weather.example/"), "line 3: tasks: [report, task]"),
        (("POST", "https://a.weather.example/", "--task", "report"), "POST]"),
    ],
)
def test_a_refusal_says_what_to_write_and_who_may(
    write: Callable[[str | bytes], Path], run: Callable[..., tuple[int, str]], words: tuple[str, ...], step: str
) -> None:
    write(RIGHT)
    found = json.loads(run("egress", "test", *words, "--json")[1])
    assert found["next"].startswith("the owner of this host can allow it in egress.yaml, ")
    assert step in found["next"]
    assert json.loads(run("egress", "test", "GET", "https://printer.lan/", "--json")[1])["next"] is None


def test_a_secret_is_set_listed_and_removed_and_never_shown(
    write: Callable[[str | bytes], Path], run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    write(RIGHT)
    (tmp_path / "value").write_text("the-value-itself\n")
    code, said = run("secret", "set", "weather", f"@{tmp_path / 'value'}")
    assert code == 0
    code, listed = run("secret", "list", "--json")
    assert json.loads(listed)["secrets"] == [
        {"name": "weather", "place": "secrets.toml", "hosts": ["*.weather.example"]}
    ]
    _, shown = run("egress", "show", "--json")
    _, settings = run("config", "get", "--json")
    assert "the-value-itself" not in said + listed + shown + settings
    assert run("secret", "set", "weather", "the-value-itself")[0] == 1
    assert run("secret", "rm", "weather", "--yes")[0] == 0
    assert run("secret", "rm", "weather", "--yes")[0] == 1
    assert "the-value-itself" not in (tmp_path / "secrets.toml").read_text()


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("MICROCLAW_HOME", str(tmp_path))

    def called(*words: str, stdin: str = "") -> tuple[int, str]:
        given: Any = io.StringIO(stdin)
        monkeypatch.setattr("sys.stdin", given)
        code = main(list(words))
        return code, capsys.readouterr().out

    return called
