"""A client of a host's API: `Client` and what its calls give and raise (docs/client.md). It starts no host."""

from microclaw.client.calls import request_number
from microclaw.client.client import Client
from microclaw.client.live import EventStream, LiveEvent
from microclaw.client.request import HostError
from microclaw.errors import MicroclawError, NoHost
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Delta, Edge, Evidence, Step, ToolRun

__all__ = [
    "Answer",
    "ApprovalAsked",
    "ApprovalSettled",
    "Client",
    "Delta",
    "Edge",
    "EventStream",
    "Evidence",
    "HostError",
    "LiveEvent",
    "MicroclawError",
    "NoHost",
    "Step",
    "ToolRun",
    "request_number",
]
