"""egress.yaml: each mistake with its line, all at once; and the command that shows and checks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from microclaw.errors import ConfigError, TaskRefused
from microclaw.host.config.yaml_file import FileMistakes
from microclaw.host.egress.allowlist import MAX_BYTES, allowlist_problem, read_allowlist
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.proxy import EgressProxy, judge
from microclaw.host.egress.request_head import RequestHeadRefused, named_place
from microclaw.host.egress.secret_values import SecretValues, egress_findings
from microclaw.interfaces.cli.main import main

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


PRIVATE = (
    "localhost nas printer.local *.corp.internal router.lan x.home.arpa a.localhost LOCALHOST. *.co.uk *.github.io"
)


NO_HEADERS = ("Host: {secret}", "Proxy-Authorization", "X-Key: {secret}{secret}", "X-Key: none", "no name: {secret}")
WRONG_LINES = [2, 3, 4, 5, 6, 8, 10, 11, 13, 14, 19, 21, 22, 22]
MISTAKES: list[tuple[str, list[int]]] = [
    (WRONG, WRONG_LINES),
    *((f"allow:\n  - host: api.example.com\n  - host: '{host}'\n", [3]) for host in PRIVATE.split()),
    ('allow:\n  - host: a.example.com\n    tasks: [all, "bad name!", Report, good-1]\n', [3]),
    ("allow:\n  - host: a.example.com\n    methods:\n", [3]),  # empty: not any method
    *((f"allow:\n  - {{host: a.example.com, secret: key, header: '{one}'}}\n", [2]) for one in NO_HEADERS),
]
NO_ALLOWLISTS: tuple[str | bytes, ...] = (
    "", "allow: x", "[]", "allow: [", "allow:\n\t- x", "allow: [1]", b"\xff\xfe\xff", "limits: {connections: 3}",
    "a: &a [*a]", "allow: [{host: }]", "allow: " + "[" * 5000, "allow: [{? [a]: b}]",
    "allow: [{host: x.y, ports: 443}]", "allow: [{host: x.y, ports: []}]",
)  # fmt: skip


def test_every_mistake_has_its_line(write: Callable[[str | bytes], Path]) -> None:
    for text, lines in (*MISTAKES, *((text, None) for text in NO_ALLOWLISTS)):
        path = write(text)
        with pytest.raises(FileMistakes) as failed:
            read_allowlist(path)
        assert lines is None or [one.line for one in failed.value.diagnostics] == lines
        assert all(one.line and one.hint for one in failed.value.diagnostics)
        assert allowlist_problem(path)


def test_what_only_looks_like_a_mistake_is_none(write: Callable[[str | bytes], Path], tmp_path: Path) -> None:
    hosts = ("ada.github.io", "*.bbc.co.uk", "home.example.com", "local.example", "*.lan.example.org")
    text = "allow:\n" + "".join(f"  - host: '{host}'\n" for host in hosts)
    assert tuple(entry.host for entry in read_allowlist(write(text)).entries) == hosts
    write("allow: [{host: a.example.com, tasks: all}]")
    proxy = EgressProxy(tmp_path, Egress(), SecretValues(tmp_path, {}))
    assert proxy.reach("all") == ("a.example.com, port 443, any method",)
    with pytest.raises(TaskRefused):
        proxy.reach("report")


def test_a_file_that_is_too_long_or_a_link_is_not_read_and_no_file_allows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "egress.yaml"
    assert read_allowlist(path).entries == ()
    assert allowlist_problem(path) is None
    path.write_text("#" * (MAX_BYTES + 1))
    (tmp_path / "link.yaml").symlink_to(path)
    for one in (path, tmp_path / "link.yaml"):
        with pytest.raises(ConfigError):
            read_allowlist(one)


SPECIFIC = (
    '  - host: "*.example.com"\n',
    '  - {host: "*.eu.example.com", ports: [8443]}\n',
    "  - {host: api.example.com, ports: [80, 443], methods: [GET]}\n",
    "  - {host: api.example.com, ports: [80], methods: [POST], tasks: [report]}\n",
)
DECIDED = {
    "CONNECT api.example.com:443": False,
    "POST http://api.example.com/x": False,
    "GET http://api.example.com/x": True,
    "POST http://api.example.com/x report": True,
    "GET http://api.example.com/x report": False,
    "CONNECT a.eu.example.com:443": False,
    "CONNECT a.eu.example.com:8443": True,
    "CONNECT www.example.com:443": True,
}


def test_the_most_specific_entry_decides_wherever_it_stands(write: Callable[[str | bytes], Path]) -> None:
    for entries in (SPECIFIC, SPECIFIC[::-1]):
        allowlist = read_allowlist(write("allow:\n" + "".join(entries)))
        for asked, is_allowed in DECIDED.items():
            method, target, *task = asked.split()
            with nullcontext() if is_allowed else pytest.raises(RequestHeadRefused):
                judge(allowlist, task[0] if task else "other", named_place(method, target))


def test_mistakes_and_missing_secrets_are_told_and_a_secret_is_never_shown(
    write: Callable[[str | bytes], Path], run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    write(WRONG)
    code, document = run("task", "egress", "--json")
    assert (code, len(json.loads(document)["error"]["diagnostics"])) == (1, len(WRONG_LINES))
    write(RIGHT)
    words = ("task", "egress")
    code, document = run(*words, "--json")
    assert (code, json.loads(document)["secrets_missing"]) == (1, ["weather"])
    assert [one.ok for one in egress_findings(tmp_path)] == [True, False]
    (tmp_path / "value").write_text("the-value-itself\n")
    said = run("task", "secrets", "weather", f"@{tmp_path / 'value'}")[1]
    assert run(*words)[0] == 0
    for shown in (("task", "secrets"), ("task", "egress"), ("config", "get")):
        said += run(*shown, "--json")[1]
    assert "the-value-itself" not in said
    assert run("task", "secrets", "weather", "the-value-itself")[0] == 2
    assert [run("task", "secrets", "--rm", "weather", "--yes")[0] for _ in range(2)] == [0, 1]
    assert "the-value-itself" not in (tmp_path / "secrets.toml").read_text()


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("MICROCLAW_HOME", str(tmp_path))

    return lambda *words: (main(list(words)), capsys.readouterr().out)
