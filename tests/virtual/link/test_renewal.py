"""A board whose certificate is in the last third of its life asks for another, and works whatever comes of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.virtual.conftest import StartBoard
from tests.virtual.link.conftest import ScriptedHost

from microclaw.wire.link.messages import PairRequest

EIGHT_YEARS = timedelta(days=8 * 365)


def start_aged(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> None:
    """The board is paired with a certificate that is eight years old."""
    host.issued_ago = EIGHT_YEARS
    host.on_credential = lambda: setattr(host, "issued_ago", timedelta(0))
    start_board("--serial", "none", "--flash", str(tmp_path), *host.options)


def test_an_old_certificate_is_renewed_and_the_new_one_used(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path
) -> None:
    start_aged(start_board, host, tmp_path)
    host.wait(lambda: len(host.hellos) == 1)
    paired, renewed, works = host.certificates
    assert paired is None
    assert renewed is not None
    assert works not in (None, renewed)
    requests = [e.body for e in host.heard if isinstance(e.body, PairRequest)]
    assert [(request.csr is not None, request.secret) for request in requests] == [(True, None)] * 2
    assert host.call("device.status").ok


@pytest.mark.parametrize("answers", [True, False])
def test_a_board_that_is_not_given_another_works_with_the_old_one(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path, answers: bool
) -> None:
    host.renews = False
    if not answers:
        host.drops_renewals = True
    start_aged(start_board, host, tmp_path)
    host.wait(lambda: len(host.hellos) == 1)
    assert host.certificates[1] == host.certificates[2] is not None
    assert host.call("device.status").ok
