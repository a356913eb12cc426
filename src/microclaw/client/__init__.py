"""Clients of the host's API, for the command line (blocking) and for MCP (asynchronous). They start no host."""

from microclaw.client.calls import Client, request_number

__all__ = ["Client", "request_number"]
