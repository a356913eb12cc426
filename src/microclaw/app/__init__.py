"""The host: every part built, joined and taken down in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microclaw.app.host import running_host

__all__ = ["running_host"]


def __getattr__(name: str) -> object:
    """Import the host when it is used: the list of rooms is also read by the help of the command line."""
    if name != "running_host":
        raise AttributeError(name)
    from microclaw.app.host import running_host

    return running_host
