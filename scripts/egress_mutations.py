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
    tests: str = "test_proxy.py"


HEAD, PROXY, POLICY, EXCHANGE = (f"egress/{name}.py" for name in ("request_head", "proxy", "policy", "exchange"))
PLACES, OUT, ALLOW, DOOR = (f"egress/{name}.py" for name in ("destinations", "outgoing", "allowlist", "http_door"))
MUTATIONS = (
    Mutation("the verdict", PROXY, "if not verdict.allowed:", "if False:"),
    Mutation("the wildcard's dot", ALLOW, "host.endswith(self.host[1:])", "host.endswith(self.host[2:])"),
    Mutation("tasks of an entry", ALLOW, "return named and self.counts_for(task)", "return named"),
    Mutation("ports", POLICY, "if port not in entry.ports:", "if False:"),
    Mutation(
        "methods", POLICY, "if not tunnel and entry.methods is not None", "if False and entry.methods is not None"
    ),
    Mutation(
        "CONNECT with methods or a secret",
        POLICY,
        "if entry.methods is not None or entry.secret is not None:",
        "if False:",
    ),
    Mutation("https without tls", POLICY, "elif is_tls:", "elif False:"),
    Mutation(
        "public addresses", PLACES, "if why is not None:\n                raise", "if False:\n                raise"
    ),
    Mutation(
        "own networks",
        PLACES,
        ' or ("a network of this host" if is_in(address, own) else None)',
        "",
        "test_destinations.py",
    ),
    Mutation("mapped addresses", PLACES, "if address.ipv4_mapped is not None:", "if False:", "test_destinations.py"),
    Mutation("NAT64", PLACES, "if address in _NAT64:", "if False:", "test_destinations.py"),
    Mutation("6to4", PLACES, "if address in _6TO4:", "if False:", "test_destinations.py"),
    Mutation("numbers as names", PLACES, 'or _NUMBER.fullmatch(bare.rpartition(".")[2])', "", "test_destinations.py"),
    Mutation("addresses as hosts", PLACES, "if _literal(host) is not None:", "if False:"),
    Mutation(
        "length and encoding", HEAD, 'if b"content-length" in named and b"transfer-encoding" in named:', "if False:"
    ),
    Mutation("headers twice", HEAD, "if any(names[name] > 1 for", "if any(False for"),
    Mutation("the first line", HEAD, 'if not lines[0].decode("latin-1").isprintable():', "if False:"),
    Mutation("lines of headers", HEAD, "if not _LINE.fullmatch(line):", "if False:"),
    Mutation("the Host header", HEAD, 'or found["host"].lower().rstrip(".") != host', ""),
    Mutation("headers of one connection", HEAD, "if name.lower() not in dropped", "if name.lower() != b'host'"),
    Mutation("long addresses", HEAD, "if len(target) > MAX_TARGET_CHARS:", "if False:"),
    Mutation("many headers", HEAD, "if len(lines) - 1 > MAX_HEADERS:", "if False:"),
    Mutation("large heads", HEAD, "MAX_HEAD_BYTES: Final = 16 << 10", "MAX_HEAD_BYTES: Final = 1 << 20"),
    Mutation("requests a minute", POLICY, "if most is not None and len(times) >= most:", "if False:"),
    Mutation("bytes of a task", POLICY, "if limit.bytes_per_task is not None and", "if False and"),
    Mutation("bytes of a day", POLICY, "if limit.bytes_per_day is not None and", "if False and"),
    Mutation("connections at once", PROXY, "if self._use.connections >= allowlist.connections:", "if False:"),
    Mutation(
        "stalls in reading",
        EXCHANGE,
        "async with asyncio.timeout(self._stall_s):\n                return",
        "async with asyncio.timeout(None):\n                return",
    ),
    Mutation(
        "stalls in writing",
        EXCHANGE,
        "async with asyncio.timeout(self._stall_s):\n                await target",
        "async with asyncio.timeout(None):\n                await target",
    ),
    Mutation(
        "a head that never ends",
        PROXY,
        "async with asyncio.timeout(self._proxy.times.head_s):",
        "async with asyncio.timeout(None):",
    ),
    Mutation("a broken file", POLICY, "self._found = exc", "pass", "test_allowlist.py"),
    Mutation("the file's change", POLICY, "if seen != self._seen:", "if self._seen == ():"),
    Mutation(
        "the log's line",
        PROXY,
        "self._proxy.record(AuditEvent(kind, text, about=self._task, by=self._by, known=known))",
        "pass",
    ),
    Mutation(
        "no path in the log",
        PROXY,
        "{request.method[:16]} {request.host}",
        "{request.method[:16]} {request.host}{request.target}",
    ),
    Mutation("the socket's mode", PROXY, "path.chmod(0o600)", "path.chmod(0o666)"),
    Mutation(
        "the server's certificate",
        EXCHANGE,
        "ssl=tls, server_hostname=server_name",
        "ssl=tls and ssl._create_unverified_context(), server_hostname=server_name",
        "test_secrets.py",
    ),
    Mutation("the task's own header", EXCHANGE, "_RANGES | {name.lower().encode()}", "_RANGES", "test_secrets.py"),
    Mutation(
        "ranges",
        EXCHANGE,
        'frozenset({b"range", b"if-range", b"accept-encoding"})',
        "frozenset({b'x'})",
        "test_secrets.py",
    ),
    Mutation("echo in a body", EXCHANGE, "data if stream is None else stream.feed(data)", "data", "test_secrets.py"),
    Mutation(
        "echo over two chunks",
        "masking.py",
        "end = len(masked) - self._mask.begun(masked)",
        "end = len(masked)",
        "test_secrets.py",
    ),
    Mutation(
        "echo in a header", EXCHANGE, "value if mask is None else mask.masked_bytes(value)", "value", "test_secrets.py"
    ),
    Mutation("compressed answers", EXCHANGE, "and value.strip().lower() not in _PLAIN", "and False", "test_secrets.py"),
    Mutation(
        "a secret that is missing",
        PROXY,
        "if entry.secret is not None and (secret := await proxy.secrets.value(entry.secret)) is None:",
        "if entry.secret is not None and (secret := await proxy.secrets.value(entry.secret) or 'none') is None:",
        "test_secrets.py",
    ),
    Mutation(
        "the mask of the log",
        "cli/hosting.py",
        "self._mask.masked(super().format(record))",
        "super().format(record)",
        "test_masked_logs.py",
    ),
    Mutation(
        "the mask of the security log",
        "audit/log.py",
        "text=self._mask(event.text)",
        "text=event.text",
        "test_masked_logs.py",
    ),
    Mutation("people's tokens", "masking.py", "mc_[A-Za-z0-9_-]{43}", "mx_[A-Za-z0-9_-]{43}", "test_masked_logs.py"),
    Mutation("base64", "masking.py", "for before in range(3):", "for before in range(0):", "test_masked_logs.py"),
    Mutation(
        "metadata addresses", PLACES, "if is_in(address, _METADATA) else None", "if False else None", "test_outgoing.py"
    ),
    Mutation(
        "good addresses of a name", PLACES, "if why_not_configured(address) is None]", "if True]", "test_outgoing.py"
    ),
    Mutation("one place of the settings", OUT, "if place != self._first:", "if False:", "test_outgoing.py"),
    Mutation("downloads without TLS", OUT, 'if scheme != "https":', "if False:", "test_outgoing.py"),
    Mutation(
        "downloads to the inside", OUT, "return self._purpose\n", "return Purpose.CONFIGURED\n", "test_outgoing.py"
    ),
    Mutation("the judged address", DOOR, "dial_tcp(address, port", "dial_tcp(host, port", "test_outgoing.py"),
    Mutation("the pool's way out", DOOR, "    pool._network_backend = backend", "    pass", "test_outgoing.py"),
    Mutation(
        "targets behind a proxy",
        DOOR,
        "if proxy is not None:\n            with _known_of(request):\n                await",
        "if False:\n            with _known_of(request):\n                await",
        "test_outgoing.py",
    ),
    Mutation("an address that hangs", OUT, "late.cancel()", "pass", "test_outgoing.py"),
    Mutation(
        "a length that is none",
        HEAD,
        "and not _LENGTH.fullmatch(value.strip",
        "and not bytes(value.strip",
        "test_bypasses.py",
    ),
    Mutation(
        "the only door",
        "flash/stock_images.py",
        "download_client(address, timeout=_FETCH_S, max_redirects=3)",
        "__import__('httpx2').Client()",
        "test_one_door.py",
    ),
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
