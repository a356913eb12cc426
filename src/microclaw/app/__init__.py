"""The host: every part built, joined and taken down in order."""

from microclaw.app.host import running_host

__all__ = ["running_host"]
