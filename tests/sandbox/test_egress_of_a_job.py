"""A job in the real sandbox behind the real egress proxy: an allowed host answers, the rest is refused and noted."""

from __future__ import annotations

import json
from pathlib import Path

from tests.egress.proxying import HOST, allow, proxy, server

from microclaw.audit.event import AuditKind
from microclaw.sandbox.job import SandboxJob
from microclaw.sandbox.run import run_sandboxed

CODE = """
import json, sys, urllib.error, urllib.request
ends = []
for url in sys.argv[1:]:
    try:
        ends.append(urllib.request.urlopen(url).read().decode())
    except urllib.error.HTTPError as refused:
        ends.append(refused.code)
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1])
except urllib.error.URLError:
    ends.append("no way")
print(json.dumps(ends))
"""


async def test_a_job_reaches_what_is_allowed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    async with (
        server() as web,
        proxy(tmp_path / "home", allow(f"host: {HOST}, ports: [{web.port}], methods: [GET]")) as task,
    ):
        urls = [
            f"http://{HOST}:{web.port}/data",
            f"http://not-allowed.example:{web.port}/",
            "http://192.168.1.1/",
            f"http://127.0.0.1.nip.example:{web.port}/",
        ]
        job = SandboxJob(command=["python3", "-c", CODE, *urls], proxy_socket=task.path)
        end = await run_sandboxed(job, tmp_path / "own", lambda _: None)
        assert end.exit_code == 0, end.output
        assert json.loads(end.output) == ["ok", 403, 403, 403, "no way"]
        kinds = [event.kind for event in task.events]
        assert kinds.count(AuditKind.EGRESS_ALLOWED) == 1
        assert kinds.count(AuditKind.EGRESS_REFUSED) == 3
