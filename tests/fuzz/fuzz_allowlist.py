"""Fuzz target: any bytes as an egress.yaml; a mistake has its line, and what is right names hosts alone."""

from __future__ import annotations

from pathlib import Path

from microclaw.host.config.yaml_file import FileMistakes
from microclaw.host.egress.allowlist import AllowFile, Allowlist
from microclaw.host.egress.destinations import host_mistake


def fuzz_one(data: bytes) -> None:
    try:
        allowlist = AllowFile(Path("egress.yaml")).allowlist(data)
    except FileMistakes as exc:
        wrong = exc
    else:
        _check(allowlist)
        return
    assert all(one.line and one.hint for one in wrong.diagnostics)


def _check(allowlist: Allowlist) -> None:
    assert all(host_mistake(entry.host.removeprefix("*.")) is None for entry in allowlist.entries)
