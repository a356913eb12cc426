"""What is to be said at a time: cron.json as MimiClaw has it, jobs `every` so many seconds or `at` a time."""

import json

FILE = "cron.json"  # {"jobs": [{id, name, enabled, kind, interval_s or at_epoch, message, channel, chat_id, next_run}]}
MAX_JOBS = 16
MIN_EVERY_S = 60
MAX_EVERY_S = 31536000
LATE_S = 86400  # a job that should have run longer ago than this is not run any more


class Cron:
    def __init__(self, store):
        self._store = store
        rows = store.load(FILE, {}).get("jobs")
        self.jobs = [job for job in (rows if isinstance(rows, list) else ()) if _is_job(job)][:MAX_JOBS]

    def add(self, name, message, channel, chat_id, now_s, every_s=None, at_s=None):
        """The job. ValueError in words for one that cannot be."""
        if len(self.jobs) >= MAX_JOBS:
            raise ValueError("{} jobs are there, no more fit: remove one".format(MAX_JOBS))
        if not now_s:
            raise ValueError("the clock is not set")
        if (every_s is None) == (at_s is None):
            raise ValueError("give every_s or at_s, one of them")
        ids = [job.get("id") for job in self.jobs]
        number = 1
        while str(number) in ids:
            number += 1
        job = {"id": str(number), "name": name[:32], "enabled": True, "message": message[:256]}
        job.update({"channel": channel, "chat_id": chat_id})
        if every_s is not None:
            if not _is_whole(every_s) or not MIN_EVERY_S <= every_s <= MAX_EVERY_S:
                raise ValueError("every_s is a whole number of seconds, {} to {}".format(MIN_EVERY_S, MAX_EVERY_S))
            job.update({"kind": "every", "interval_s": every_s, "next_run": now_s + every_s})
        else:
            if not _is_whole(at_s) or not now_s < at_s < now_s + MAX_EVERY_S:
                raise ValueError("at_s is a time in the coming year, in seconds since 1970; now it is {}".format(now_s))
            job.update({"kind": "at", "at_epoch": at_s, "next_run": at_s})
        self._keep(self.jobs + [job])
        return job

    def remove(self, id):
        """False when there is no such job."""
        kept = [job for job in self.jobs if job.get("id") != id]
        if len(kept) == len(self.jobs):
            return False
        self._keep(kept)
        return True

    def due(self, now_s):
        """Jobs to run now. They are marked before: a power cut skips one rather than doing it twice."""
        run, kept, is_changed = [], [], False
        for job in self.jobs:
            if not now_s or not job.get("enabled", True):
                kept.append(job)
                continue
            next_s = _next(job, now_s)
            if next_s <= now_s:
                if now_s - next_s < LATE_S:
                    run.append(job)
                if job["kind"] == "at":
                    is_changed = True
                    continue
                next_s += job["interval_s"] * ((now_s - next_s) // job["interval_s"] + 1)
            if job.get("next_run") != next_s:
                job, is_changed = dict(job), True
                job["next_run"] = next_s
            kept.append(job)
        if is_changed:
            self._keep(kept)
        return run

    def _keep(self, jobs):
        self._store.write(FILE, json.dumps({"jobs": jobs}))
        self.jobs = jobs


def _next(job, now_s):
    """When it is due; a clock that was set back, or a file of another's, begins its interval anew."""
    if job["kind"] == "at":
        return job["at_epoch"]
    next_s = job.get("next_run")
    return next_s if _is_whole(next_s) and 0 < next_s <= now_s + job["interval_s"] else now_s + job["interval_s"]


def _is_job(job):
    if not isinstance(job, dict) or not isinstance(job.get("message"), str):
        return False
    if job.get("kind") == "at":
        return _is_whole(job.get("at_epoch"))
    every_s = job.get("interval_s")
    return job.get("kind") == "every" and _is_whole(every_s) and MIN_EVERY_S <= every_s <= MAX_EVERY_S


def _is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool)
