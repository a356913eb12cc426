"""/v1/jobs: ends what a request does, before it changes something."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from microclaw.api.answers import answers
from microclaw.api.caller import RequestCaller
from microclaw.api.device_answers import JobCancelled
from microclaw.api.parts import HostParts


def job_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["host"])

    @router.post(
        "/v1/jobs/{number}/cancel",
        summary="End what your request with this number does, before it changes",
        responses=answers(JobCancelled),
    )
    async def cancel_job(number: str, by: RequestCaller) -> dict[str, Any]:
        state = parts.jobs.cancel(by.job_key(number))
        if state == "unknown" and parts.requests_elsewhere is not None and not by.direct:
            state = await parts.requests_elsewhere.cancel(by.job_key(number))
        return {"state": state}

    return router
