"""The host: every part built, joined and taken down in order."""

from microclaw.app.host import Host, running_host

__all__ = ["Host", "running_host"]
