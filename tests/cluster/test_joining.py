"""What a host is refused for when it joins: an authority that is not the fleet's, or none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.cluster.whole_hosts import copy_authority, host_of

from microclaw.app.joining import CONSENT
from microclaw.auth.authority import AUTHORITY_FILE, BEGIN_ANEW_FILE
from microclaw.cli.main import main
from microclaw.errors import StoreError


async def refused(url: str, home: Path) -> StoreError:
    """Why a host on this home does not start: alone, or out of the groups of tasks that it had begun."""
    try:
        async with host_of(url, home):
            found: BaseException = AssertionError("it started")
    except (StoreError, BaseExceptionGroup) as exc:
        found = exc
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if not isinstance(found, StoreError):
        raise found
    return found


async def test_no_host_ends_the_fleets_authority_by_accident(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    east, west, desk = tmp_path / "east", tmp_path / "west", tmp_path / "desk"
    begin_anew = west / "identity" / BEGIN_ANEW_FILE
    async with host_of(database_url, east):
        trusted = (east / "identity" / AUTHORITY_FILE).read_bytes()
        await refused(database_url, west)
        for consent in ("", CONSENT):
            begin_anew.write_text(consent)
            assert "authority.pem" in ((await refused(database_url, west)).next_step or "")
            assert begin_anew.exists()
    begin_anew.write_text("\n")
    await refused(database_url, west)
    copy_authority(east, desk)
    begin_anew.write_text(f"{CONSENT}\n")
    async with host_of(database_url, west):
        assert (west / "identity" / AUTHORITY_FILE).read_bytes() != trusted
        assert not begin_anew.exists()
        await refused(database_url, east)
        assert await asyncio.to_thread(main, ["--home", str(west), "cluster", "status"]) == 0
        assert "west" in capsys.readouterr().out
        await refused(database_url, desk)
