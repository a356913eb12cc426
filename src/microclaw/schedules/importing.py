"""The jobs of a MimiClaw device's cron.json as schedules. What cannot be one is told with its reason; it runs none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from microclaw.errors import ConfigError, MicroclawError, ScheduleRefused
from microclaw.knowledge.importing import ImportedJob, read_jobs
from microclaw.schedules.book import ScheduleBook, Wanted
from microclaw.schedules.entry import MIN_EVERY_MS, Every, Once, Prompt, Schedule, Timing


@dataclass(frozen=True, slots=True)
class KeptJob:
    """A job and its schedule, or why there is none; `known` when an import before has made it already."""

    name: str
    schedule: Schedule | None
    refused: str = ""
    known: bool = False


async def import_cron_json(path: Path, book: ScheduleBook, *, person_id: str = "owner") -> tuple[KeptJob, ...]:
    """Make a schedule of each job; a second import of the file makes none. ConfigError for a file without jobs."""
    if not await asyncio.to_thread(path.is_file):
        raise ConfigError(f"there is no file {path}", next_step="name the cron.json of a MimiClaw device")
    jobs, found = await asyncio.to_thread(read_jobs, path)
    if not jobs:
        raise ConfigError(f"{path} has no jobs: {found.detail}", next_step="name the cron.json of a MimiClaw device")
    return await keep_jobs(jobs, book, person_id=person_id)


async def keep_jobs(
    jobs: Iterable[ImportedJob], book: ScheduleBook, *, person_id: str = "owner"
) -> tuple[KeptJob, ...]:
    """Schedules of jobs that were read before; their messages go to the agent, as on the device."""
    return tuple([await _keep(job, book, person_id) for job in jobs])


async def _keep(job: ImportedJob, book: ScheduleBook, person_id: str) -> KeptJob:
    said = f"every {job.every_s} s" if job.every_s is not None else f"at {job.at_s}"
    said = f"{said} ({job.name})"
    if (one := await book.made_of(said, Prompt(job.message))) is not None:
        return KeptJob(job.name, one, known=True)
    wanted = Wanted(said, job.message[:200], Prompt(job.message), person_id, job.channel, job.chat_id)
    try:
        made = await book.add(wanted, timing=_timing(job, book.now_ms()))
        if not job.enabled:
            await book.pause(made.schedule_id, "it was switched off on the device")
            made = await book.get(made.schedule_id)
    except MicroclawError as exc:
        return KeptJob(job.name, None, exc.message)
    return KeptJob(job.name, made)


def _timing(job: ImportedJob, now_ms: int) -> Timing:
    if job.at_s is not None:
        return Once(job.at_s * 1000)
    every_ms = (job.every_s or 0) * 1000
    if every_ms < MIN_EVERY_MS:
        raise ScheduleRefused(f"every {job.every_s} s is more often than once a minute")
    return Every(every_ms, now_ms)
