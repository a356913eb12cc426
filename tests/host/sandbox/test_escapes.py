"""Attempts to get out of the sandbox, made in it. scripts/mutations.py shows that each guard is needed."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from microclaw.host.sandbox.job import SandboxJob
from microclaw.host.sandbox.run import Serve, run_sandboxed

ATTEMPTS = Path(__file__).with_name("attempts.py")
KINDS = ("user", "pid", "net", "ipc", "uts", "mnt", "cgroup")
GIVEN = ("PATH", "HOME", "TMPDIR", "LANG", "PWD", "PYTHONUNBUFFERED", "LC_CTYPE")
PROXY = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def facts(tmp: Path, opened: ExitStack) -> dict[str, object]:
    """The prey on this host: a secret file, sockets, a variable, an open file that children inherit."""
    secret = tmp / "secret"
    secret.write_text("the secret")
    tmp.chmod(0o755)
    for parent in list(tmp.parents)[:3]:  # readable for everybody, so that no right of files is what stops a job
        parent.chmod(parent.stat().st_mode | 0o055)
    leaked = os.open(secret, os.O_RDONLY)
    opened.callback(os.close, leaked)
    os.set_inheritable(leaked, True)
    os.environ["MICROCLAW_TEST_SECRET"] = "of the host"
    opened.callback(os.environ.pop, "MICROCLAW_TEST_SECRET")
    abstract = f"microclaw-{secrets.token_hex(4)}"
    ports = {}
    for name, family, kind, address in (
        ("tcp", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        ("tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
        ("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
    ):
        server = opened.enter_context(socket.socket(family, kind))
        server.bind(address)
        ports[name] = server.getsockname()[1]
        if kind == socket.SOCK_STREAM:
            server.listen()
        else:
            threading.Thread(target=_answer, args=(server,), daemon=True).start()
    for place in (str(tmp / "host.sock"), "\0" + abstract):
        door = opened.enter_context(socket.socket(socket.AF_UNIX))
        door.bind(place)
        door.listen()
    os.chmod(tmp / "host.sock", 0o777)
    namespaces = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}
    return {
        **ports,
        "secret": str(secret),
        "unix": str(tmp / "host.sock"),
        "abstract": abstract,
        "pid": os.getpid(),
        "host_name": os.uname().nodename,
        "is_root": os.geteuid() == 0,
        "namespaces": namespaces,
        "variable": "MICROCLAW_TEST_SECRET",
        "other": "of-another-job",
    }


def _answer(server: socket.socket) -> None:
    try:
        while True:
            _, peer = server.recvfrom(100)
            server.sendto(b"an answer", peer)
    except OSError:
        return


@pytest.fixture(scope="module", params=["shut off", "with the proxy"])
def ends(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """All attempts in one sandbox, while another job runs: what each got."""
    tmp = tmp_path_factory.mktemp("host")
    network = request.param == "with the proxy"
    with ExitStack() as opened:
        known: tuple[str, ...] = GIVEN
        if network:
            known = (*GIVEN, *PROXY, *(name.upper() for name in PROXY), "NODE_USE_ENV_PROXY")
        host = {**facts(tmp, opened), "network": network, "environment": known}
        job = SandboxJob(
            command=["python3", "attempts.py"],
            files={"attempts.py": ATTEMPTS.read_bytes(), "facts.json": json.dumps(host).encode()},
        )
        end = asyncio.run(_beside_another(job, tmp, _listen if network else None))
        assert end, "the attempts printed nothing"
        yield json.loads(end)


async def _listen(at: socket.socket) -> None:
    at.close()  # nobody answers


async def _beside_another(job: SandboxJob, tmp: Path, proxy: Serve | None) -> bytes:
    begun = asyncio.Event()
    printed = bytearray()
    other = SandboxJob(command=["sh", "-c", "echo begun; sleep 60"], files={"of-another-job": b"x"})
    async with asyncio.TaskGroup() as group:
        beside = group.create_task(run_sandboxed(other, tmp / "other", lambda _: begun.set()), name="another job")
        await asyncio.wait_for(begun.wait(), 60)
        end = await run_sandboxed(job, tmp / "own", printed.extend, proxy=proxy)
        beside.cancel()
    assert end.exit_code == 0, printed.decode()
    return bytes(printed)


def test_every_attempt_is_refused(ends: dict[str, str]) -> None:
    assert len(ends) == 103
    assert {name: end for name, end in ends.items() if not end.startswith("refused")} == {}
