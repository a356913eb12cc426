"""https requests of programs on a board without a link: the lines of expectations answer, and nobody is asked."""

from __future__ import annotations

from pathlib import Path

from tests.virtual.py.conftest import PyBench

from microclaw.virtual.clock import Clock
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.network.real import RealNetwork
from microclaw.wire.canned_lines import HttpAnswer

ASK = """
async def main(E):
    fetch = E.module("microclaw").fetch
    for url in {urls!r}:
        try:
            E.print(await fetch("get", url, {{"x-key": "k"}}, timeout=5))
        except OSError as exc:
            E.print(E.module("errno").errorcode[exc.errno], exc.args[-1])
    E.print("over")
"""


def answers(bench: PyBench, *urls: str, lines: tuple[HttpAnswer, ...] = (), hosts: tuple[str, ...]) -> list[str]:
    network = bench.board.network
    assert isinstance(network, CannedNetwork)
    network.add(lines)
    bench.install("weather", ASK.format(urls=urls), heap=16_384, hosts=hosts)
    bench.advance(20_000)
    printed = bench.lines("weather")
    assert printed[-1] == "over"
    return printed[:-1]


def test_a_line_answers_and_a_server_that_is_silent_costs_the_time_out(bench: PyBench) -> None:
    lines = (
        HttpAnswer("GET", "api.example.org", "/x", text='{"t": 21}'),
        HttpAnswer("GET", "api.example.org", "/dead", kind="no answer"),
        HttpAnswer("GET", "api.example.org", "/late", status=503, text="busy", delay_ms=300),
    )
    urls = ("https://api.example.org/x", "https://api.example.org/late", "https://api.example.org/dead")
    found, late, dead = answers(bench, *urls, lines=lines, hosts=("api.example.org:443",))
    assert found.startswith("(200, {")
    assert found.endswith("""b'{"t": 21}')""")
    assert late.startswith("(503, {")
    assert dead.startswith("ETIMEDOUT")


def test_a_query_after_the_host_is_no_path(bench: PyBench) -> None:
    lines = (HttpAnswer("GET", "api.example.org", "/", text="root"), HttpAnswer("GET", "api.example.org", "/b"))
    (found,) = answers(bench, "https://api.example.org?q=a/b", lines=lines, hosts=("api.example.org:443",))
    assert found.endswith("b'root')")


def test_only_https_addresses_of_the_programs_hosts_are_asked(bench: PyBench) -> None:
    urls = (
        "https://evil.example.com/", "https://api.example.org:8443/", "http://api.example.org/", "https://",
        "https://a@api.example.org/", "https://api.example.org:x/", "https://api.example.org.evil.example.com/",
    )  # fmt: skip
    found = answers(bench, *urls, hosts=("api.example.org:443",))
    assert found[0] == "EACCES evil.example.com:443 is none of this program's hosts: api.example.org:443"
    names = [line.split(" ")[0] for line in found]
    assert names == ["EACCES", "EACCES", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EACCES"]
    network = bench.board.network
    assert isinstance(network, CannedNetwork)
    assert network.traffic().records == ()


def test_with_a_real_network_and_no_host_nobody_is_asked(tmp_path: Path, cache: Path) -> None:
    bench = PyBench(tmp_path, Clock(), cache=cache)
    try:
        bench.board.network = RealNetwork(bench.board.print_line)
        source = ASK.format(urls=("https://api.example.org/",))
        bench.install("weather", source, heap=16_384, hosts=("api.example.org",))
        assert bench.wait_for(lambda: "over" in bench.lines("weather"))
        assert bench.lines("weather")[0].startswith("EHOSTUNREACH the host is away")
    finally:
        bench.machine.close()
