"""Code in the sandbox: what it prints and leaves, what it cannot reach, its time, the allowlist and its secrets."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from tests.stories.conftest import Door, Host, member_of, until

SECRET = "a-key-that-nobody-may-see-2718281828"


def ended(someone: Door, code: str, **more: Any) -> dict[str, Any]:
    """Run code over the API; the task at its end."""
    made = someone.post("/v1/tasks", {"code": code, **more})
    assert made.status == 201, made.body
    assert made.headers["location"] == f"/v1/tasks/{made.json['task']}"

    def end() -> dict[str, Any]:
        found: dict[str, Any] = someone.get(f"{made.headers['location']}?wait_s=20").json
        if found["state"] not in ("queued", "running"):
            return found
        return {}

    return until(end)


def test_code_on_the_command_line_prints_and_leaves_a_file(host: Host, tmp_path: Path) -> None:
    (tmp_path / "sum.py").write_text(
        "rows = [float(row) for row in open('data.csv')]\n"
        "open('sum.txt', 'w').write(str(sum(rows)))\nprint(len(rows))\n"
    )
    (tmp_path / "data.csv").write_text("1.5\n2.5\n")
    words = ("task", "run", str(tmp_path / "sum.py"), "--with", str(tmp_path / "data.csv"), "--keep", "sum.txt")
    ran = host.run(*words)
    assert (ran.code, ran.out) == (0, "2\n")
    [task] = host.run("task", "list", "--json").json["tasks"]
    assert (task["state"], task["files"][0]["name"]) == ("done", "sum.txt")
    assert host.run("task", "get", str(task["task"]), "sum.txt", "-o", str(tmp_path / "got")).code == 0
    assert (tmp_path / "got").read_text() == "4.0"


def test_a_tasks_file_is_fetched_in_parts_and_not_again(owner: Door) -> None:
    task = ended(owner, "open('b', 'wb').write(bytes(range(200)))", keep=["b"])
    path = f"/v1/tasks/{task['task']}/files/b"
    whole = owner.get(path)
    assert (whole.status, whole.body) == (200, bytes(range(200)))
    part = owner.ask("GET", path, Range="bytes=10-19")
    assert (part.status, part.body) == (206, bytes(range(10, 20)))
    assert owner.ask("GET", path, Range="bytes=900-").status == 416
    for known in ({"If_None_Match": whole.headers["etag"]}, {"If_Modified_Since": whole.headers["last-modified"]}):
        assert owner.ask("GET", path, **known).status == 304
    assert owner.ask("GET", path, If_Modified_Since="yesterday").status == 200
    assert owner.get(f"/v1/tasks/{task['task']}/files/c").status == 404


def test_a_cancelled_task_is_dead_when_the_answer_comes(owner: Door) -> None:
    made = owner.post("/v1/tasks", {"code": "import time\nprint('here', flush=True)\ntime.sleep(50)"}).json
    until(lambda: owner.get(f"/v1/tasks/{made['task']}?wait_s=5").json["output"])
    assert owner.ask("DELETE", f"/v1/tasks/{made['task']}").json["state"] == "cancelled"
    assert owner.get(f"/v1/tasks/{made['task']}").json["ending"] == "cancelled"


def test_who_may_not_run_code_does_not_and_sees_no_others_task(host: Host, owner: Door) -> None:
    guest = member_of(host, "gus", "guest")
    ada = member_of(host, "ada")
    refused = guest.post("/v1/tasks", {"code": "print(1)"})
    assert (refused.status, refused.code) == (403, "permission_refused")
    mine = ended(owner, "print(1)")
    assert ada.get(f"/v1/tasks/{mine['task']}").status in (403, 404)
    hers = ended(ada, "print(2)")
    assert [one["task"] for one in ada.get("/v1/tasks").json["tasks"]] == [hers["task"]]
    for body in ({"code": ""}, {"code": "1", "language": "cobol"}, {"code": "1", "files": {"../x": ""}}, {"cod": "1"}):
        assert owner.post("/v1/tasks", body).status in (400, 422)
    shadowed = {"code": "import json", "files": {"json.py": base64.b64encode(b"x").decode()}}
    assert owner.post("/v1/tasks", shadowed).code == "task_refused"


ASK = """
import urllib.request, urllib.error, json, os
proxied = urllib.request.build_opener(urllib.request.ProxyHandler({"http": os.environ.get("http_proxy", "")}))
def ask(url):
    try:
        return proxied.open(url, timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return 0
print(json.dumps([ask(u) for u in ("http://evil.example/", "http://169.254.169.254/", "http://10.0.0.1/")]))
print([name for name, value in os.environ.items() if "SECRET" in value])
"""


@pytest.fixture
def allowed(host: Host, tmp_path: Path) -> None:
    """The allowlist lets tasks named report read at one host, with a secret."""
    (tmp_path / "key").write_text(SECRET)
    assert host.run("task", "secrets", "weather", f"@{tmp_path / 'key'}").code == 0
    (host.home / "egress.yaml").write_text(
        "allow:\n  - host: api.example.com\n    secret: weather\n    header: X-Api-Key\n"
        "    methods: [GET]\n    tasks: [report]\n"
    )


@pytest.mark.usefixtures("allowed")
def test_the_allowlist_lets_a_task_reach_only_what_it_names(host: Host, owner: Door, tmp_path: Path) -> None:
    assert owner.post("/v1/tasks", {"code": "print(1)", "allow": "other"}).status == 422
    shown = host.run("task", "egress", "--json")
    assert (shown.code, [entry["host"] for entry in shown.json["entries"]]) == (0, ["api.example.com"])
    listed = host.run("task", "secrets", "--json")
    assert (listed.code, SECRET in listed.out) == (0, False)
    (tmp_path / "ask.py").write_text(ASK.replace("SECRET", SECRET[:12]))
    ran = host.run("task", "run", str(tmp_path / "ask.py"), "--allow", "report")
    assert (ran.code, ran.out.splitlines()) == (0, ["[403, 403, 403]", "[]"])
    asked = ("person", "log", "--kind", "egress.refused", "--json")
    until(lambda: len(host.run(*asked).json["events"]) == 3)  # the lines are written within a second
    log = "".join(file.read_text() for file in (host.home / "audit").glob("*.jsonl"))
    assert SECRET not in log


@pytest.mark.usefixtures("allowed")
def test_a_task_that_may_reach_out_asks_first_with_its_whole_code(owner: Door) -> None:
    code = "print('out')"
    asked = owner.post("/v1/tasks", {"code": code, "allow": "report"})
    assert asked.status == 202
    number = asked.json["approval"]["approval_id"]
    assert any(code in line for line in owner.get(f"/v1/approvals/{number}").json["detail"])
    assert owner.post(f"/v1/approvals/{number}", {"approved": True}).json["end"]["state"] == "done"
    newest = owner.get("/v1/tasks?limit=1").json["tasks"][0]
    assert (newest["allow"], newest["code_sha256"]) == ("report", hashlib.sha256(code.encode()).hexdigest())
