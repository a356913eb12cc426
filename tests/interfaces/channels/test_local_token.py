"""The file with the gateway's own token: made once, private, made again where others could read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from microclaw.errors import StoreError
from microclaw.interfaces.channels.setup import open_local_token


@pytest.mark.parametrize("spoil", ["chmod", "empty", "other", "fifo"])
def test_a_token_that_may_be_known_or_is_none_is_made_anew(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "gateway.token"
    token = open_local_token(path)
    assert (path.read_text(), len(token)) == (f"{token}\n", 46)
    assert open_local_token(path) == token
    match spoil:
        case "chmod":
            path.chmod(0o644)
        case "fifo":
            path.unlink()
            os.mkfifo(path, 0o600)
        case _:
            path.write_text("" if spoil == "empty" else "mc_short")
    assert open_local_token(path) != token
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_token_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "gateway.token").mkdir()
    with pytest.raises(StoreError):
        open_local_token(tmp_path / "gateway.token")
