"""Which worker of a run gets which file of tests, if one of them dies: pytest-xdist 3.8 leaves such a run waiting.

There the new worker is given the dead one's files that are done as well, and then waits for more; and the test that
the worker died in is run again.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

# A worker begins its last test only when it knows that no other one comes.
_ENOUGH = 2


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


class Scheduling(LoadFileScheduling):
    """As --dist loadfile; a test that its worker dies in has failed, and the others are run."""

    def remove_node(self, node: WorkerController) -> str | None:
        """Return the test that the worker died in, or None if it was done."""
        left = {scope: unit for scope, unit in self.assigned_work.pop(node).items() if not all(unit.values())}
        if not left:
            return None
        unit = next(iter(left.values()))
        failed = next(test for test, is_done in unit.items() if not is_done)
        unit[failed] = True
        self.workqueue.update({scope: unit for scope, unit in left.items() if not all(unit.values())})
        for other in self.registered_collections.keys() & self.assigned_work.keys():
            self._reschedule(other)
        return failed

    def _reschedule(self, node: WorkerController) -> None:
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) <= _ENOUGH:
            super()._reschedule(node)
