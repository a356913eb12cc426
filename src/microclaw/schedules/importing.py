"""Makes schedules of the jobs in a MimiClaw device's cron.json. It runs none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from microclaw.errors import ConfigError, MicroclawError, ScheduleRefused
from microclaw.knowledge.importing import DeviceJob, read_jobs
from microclaw.schedules.book import ScheduleBook, ScheduleRequest
from microclaw.schedules.entry import MIN_EVERY_MS, Every, Once, Prompt, Schedule, Timing


@dataclass(frozen=True, slots=True)
class JobImport:
    """A job and its schedule, or why there is none. `known`: an earlier import has made it."""

    name: str
    schedule: Schedule | None
    refused: str = ""
    known: bool = False


async def import_cron_json(path: Path, book: ScheduleBook, *, person_id: str = "owner") -> tuple[JobImport, ...]:
    """Make a schedule of each job; the agent gets its message. A second import of the file makes none.

    ConfigError for a file without jobs.
    """
    if not await asyncio.to_thread(path.is_file):
        raise ConfigError(f"there is no file {path}", next_step="name the cron.json of a MimiClaw device")
    jobs, found = await asyncio.to_thread(read_jobs, path)
    if not jobs:
        raise ConfigError(f"{path} has no jobs: {found.detail}", next_step="name the cron.json of a MimiClaw device")
    return tuple([await _keep(job, book, person_id) for job in jobs])


async def _keep(job: DeviceJob, book: ScheduleBook, person_id: str) -> JobImport:
    when = f"every {job.every_s} s" if job.every_s is not None else f"at {job.at_s}"
    when = f"{when} ({job.name})"
    prompt = Prompt(job.message)
    if (one := await book.made_of(when, prompt)) is not None:
        return JobImport(job.name, one, known=True)
    request = ScheduleRequest(when, job.message[:200], prompt, person_id, job.channel, job.chat_id)
    try:
        made = await book.add(request, timing=_timing(job, book.now_ms()))
        if not job.enabled:
            await book.hold(made.schedule_id, "it was switched off on the device")
            made = await book.get(made.schedule_id)
    except MicroclawError as exc:
        return JobImport(job.name, None, exc.message)
    return JobImport(job.name, made)


def _timing(job: DeviceJob, now_ms: int) -> Timing:
    if job.at_s is not None:
        return Once(job.at_s * 1000)
    every_ms = (job.every_s or 0) * 1000
    if every_ms < MIN_EVERY_MS:
        raise ScheduleRefused(f"every {job.every_s} s is more often than once a minute")
    return Every(every_ms, now_ms)
