"""Takes one guard of egress away at a time, in a copy, and shows that a test fails then.

Run: python scripts/egress_mutations.py
A guard whose loss no test notices is printed, and the exit code is 1. `-k WORD` runs those with the word in their name.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_S = 180


@dataclass(frozen=True, slots=True)
class Mutation:
    """In `file` of src/microclaw, `there` becomes `instead`. A test in `tests`, of tests/egress, must fail."""

    name: str
    file: str
    there: str
    instead: str
    tests: str


TABLE: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    ("egress/request_head.py", "test_bypasses.py", (
        ("length and encoding", "if named.keys() >= FRAMING:", "if False:"),
        ("headers twice", "if any(seen[name] > 1 for", "if any(False for"),
        ("the first line", 'if not first.decode("latin-1").isprintable():', "if False:"),
        ("lines of headers", "if not _LINE.fullmatch(line):", "if False:"),
        ("a length that is none", "and not _LENGTH.fullmatch(value.strip", "and not bytes(value.strip"),
        ("the Host header", 'or found["host"].lower().rstrip(".") != place.host', ""),
        ("headers of one connection", "if name.lower() not in dropped", "if name.lower() != b'host'"),
        ("framing that Connection hides", " - FRAMING", ""),
        ("long addresses", "if len(event.target) > MAX_TARGET_CHARS:", "if False:"),
        ("many headers", "if len(lines) > MAX_HEADERS:", "if False:"),
        ("large heads", "MAX_HEAD_BYTES: Final = 16 << 10", "MAX_HEAD_BYTES: Final = 1 << 20"),
    )),
    ("egress/destinations.py", "test_destinations.py", (
        ("public addresses", "if is_own or not self.is_public(address):", "if is_own:"),
        ("own networks", "if is_own or not", "if not"),
        ("mapped addresses", "if address.ipv4_mapped is not None:", "if False:"),
        ("NAT64", "if address in _NAT64:", "if False:"),
        ("6to4", "address.sixtofour if address in _6TO4", "None if address in _6TO4"),
        ("numbers as names", 'or _NUMBER.fullmatch(bare.rpartition(".")[2].lower())', ""),
        ("metadata addresses", "if not is_metadata(address)]", "if True]"),
    )),
    ("egress/destinations.py", "test_allowlist.py", (
        ("addresses as hosts", "if _literal(host) is not None:", "if False:"),
    )),
    ("egress/allowlist.py", "test_proxy.py", (
        ("the wildcard's dot", "host.endswith(self.host[1:])", "host.endswith(self.host[2:])"),
        ("tasks of an entry", "return named and self.counts_for(task)", "return named"),
        ("the file's change", "if seen != self._seen:", "if self._seen == ():"),
    )),
    ("egress/allowlist.py", "test_allowlist.py", (("a broken file", "self._found = exc", "pass"),)),
    ("egress/policy.py", "test_proxy.py", (
        ("ports", "elif port not in entry.ports:", "elif False:"),
        ("methods", "elif not tunnel and entry.methods is not None", "elif False and entry.methods is not None"),
        ("CONNECT with methods or a secret", "if tunnel and (entry.methods", "if False and (entry.methods"),
        ("https without tls", "elif not tunnel and not entry.tls and", "elif False and"),
        ("requests a minute", "is not None and len(times) >= most:", "is None:"),
        ("bytes of a task", "limit.bytes_per_task, ", "None, "),
        ("bytes of a day", "limit.bytes_per_day, ", "None, "),
    )),
    ("egress/proxy.py", "test_proxy.py", (
        ("the verdict", "if not verdict.allowed:", "if False:"),
        ("connections at once", "if self.use.connections >= allowlist.connections:", "if False:"),
        ("a head that never ends", "asyncio.timeout(self.proxy.times.head_s):", "asyncio.timeout(None):"),
        ("the log's line", "self.proxy.record(AuditEvent(kind, text", "id(AuditEvent(kind, text"),
        ("no path in the log", "[:16]} {place.host}", "[:16]} {place.host}{place.path}"),
        ("the socket's mode", "path.chmod(0o600)", "path.chmod(0o666)"),
    )),
    ("egress/proxy.py", "test_secrets.py", (
        ("the server's certificate", "ssl=context,", "ssl=context and ssl._create_unverified_context(),"),
        ("a secret that is missing", "value(entry.secret)) is None:", "value(entry.secret) or 'none') is None:"),
    )),
    ("egress/exchange.py", "test_proxy.py", (
        (
            "stalls in reading",
            "async with asyncio.timeout(self.stall_s):\n                return",
            "async with asyncio.timeout(None):\n                return",
        ),
        (
            "stalls in writing",
            "async with asyncio.timeout(self.stall_s):\n                await self.writer.drain",
            "async with asyncio.timeout(None):\n                await self.writer.drain",
        ),
    )),
    ("egress/exchange.py", "test_secrets.py", (
        ("the task's own header", "_RANGES | {name.lower().encode()}", "_RANGES"),
        ("ranges", 'frozenset({b"range", b"if-range", b"accept-encoding"})', "frozenset({b'x'})"),
        ("echo in a body", "masked.feed(bytes(event.data))", "bytes(event.data)"),
        ("echo in a header", "(name, mask.masked_bytes(value))", "(name, value)"),
        ("compressed answers", "and not encodings <= _PLAIN", "and False"),
    )),
    ("egress/http_door.py", "test_outgoing.py", (
        ("one place of the settings", "if place != self.first:", "if False:"),
        ("downloads without TLS", 'if url.scheme != "https":', "if False:"),
        ("downloads to the inside", "return self.purpose\n", "return Purpose.CONFIGURED\n"),
        ("the judged address", "dial(address, port", "dial(host, port"),
        ("the pool's way out", "pool._network_backend = _Backend", "_Backend"),
        ("targets behind a proxy", "if proxy is None else await self._by_proxy", "or await self._by_proxy"),
    )),
    ("egress/http_door.py", "test_fetching.py", (
        ("rebinding behind a proxy", "if rule is not Purpose.WEB:\n", "if True:\n"),
    )),
    ("masking.py", "test_secrets.py", (
        ("echo over two chunks", "end = len(masked) - self._mask.begun(masked)", "end = len(masked)"),
    )),
    ("masking.py", "test_masked_logs.py", (
        ("people's tokens", "mc_[A-Za-z0-9_-]{43}", "mx_[A-Za-z0-9_-]{43}"),
        ("base64", "for before in range(3):", "for before in range(0):"),
    )),
    ("cli/hosting.py", "test_masked_logs.py", (
        ("the mask of the log", "self._mask.masked(super().format(record))", "super().format(record)"),
    )),
    ("audit/log.py", "test_masked_logs.py", (
        ("the mask of the security log", "text=self._mask(event.text)", "text=event.text"),
    )),
    ("flash/stock_images.py", "test_one_door.py", (
        ("the only door", "http_client(Purpose.DOWNLOAD, address, ", "__import__('httpx2').AsyncClient("),
    )),
)  # fmt: skip
"""For each file of src/microclaw and test of tests/egress: a guard's name, its code, and the code without it."""
MUTATIONS = tuple(
    Mutation(name, file, there, instead, tests) for file, tests, guards in TABLE for name, there, instead in guards
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", dest="word", default="", help="only those with this word in their name")
    word = parser.parse_args().word
    chosen = [one for one in MUTATIONS if word in one.name]
    missed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mc-mutations-") as folder:
        copy = Path(folder) / "src"
        shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
        for one in chosen:
            noticed = _noticed(one, copy)
            sys.stdout.write(f"{'noticed' if noticed else 'MISSED '}  {one.name}\n")
            sys.stdout.flush()
            missed += [] if noticed else [one.name]
    sys.stdout.write(f"{len(chosen) - len(missed)} of {len(chosen)} guards are noticed\n")
    return 1 if missed else 0


def _noticed(one: Mutation, copy: Path) -> bool:
    path = copy / "microclaw" / one.file
    text = path.read_text()
    if text.count(one.there) < 1:
        raise SystemExit(f"{one.name}: {one.file} has no {one.there!r}: correct this script")
    path.write_text(text.replace(one.there, one.instead))
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/egress/{one.tests}"]
    environ = {**os.environ, "PYTHONPATH": f"{copy}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ended = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return True  # what it guarded against went on forever
    finally:
        path.write_text(text)
    return ended.returncode == 1


if __name__ == "__main__":
    sys.exit(main())
