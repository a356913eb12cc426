"""The states of a board's updates, and what is in flash before it is reported. Reads and writes nothing itself.

CPython and MicroPython run this same file (docs/protocols/ota.md). The board gives `save(record)`, which returns when
the record is in flash, and `say(version, state, progress, error)`, which returns when the message is in the outbox, and
does what `todo` says.
"""

TABLE = {
    "idle": ("offered",),
    "offered": ("downloading", "refused", "idle"),
    "downloading": ("verifying", "failed", "idle"),
    "verifying": ("staged", "failed", "idle"),
    "staged": ("rebooting",),
    "rebooting": ("trial",),
    "trial": ("healthy", "rolled_back"),
}
for _end in ("healthy", "rolled_back", "refused", "failed"):
    TABLE[_end] = ("offered",)
# An update can be cancelled or superseded.
GIVEN_UP = ("offered", "downloading", "verifying")
BUSY = ("staged", "rebooting", "trial")
# How often a board chooses the new slot that does not come up at all.
MAX_TRIES = 3
_NEXT = {"offered": "download", "downloading": "download", "verifying": "verify"}
_NEXT.update({"staged": "switch", "rebooting": "switch", "trial": "trial"})


class Plan:
    """The plan of an update.

    `record` is what `save` got last, {} on a new board. After a power cut make a new plan and call `booted`.
    In the record: `state`; `at`: bytes of the payload in flash; `slot`: where it goes; `security`: the highest
    security_version that was healthy here; of the update `hash` (of its manifest), `version`, `kind`, `sha256`, `size`,
    `sv`, `key`; `error`; `said`: whether the state was reported to the host.
    """

    def __init__(self, record, save, say):
        self.record = {"state": "idle", "security": 0, "said": True}
        self.record.update(record)
        self._save = save
        self._say = say

    @property
    def state(self):
        return self.record["state"]

    @property
    def todo(self):
        """The next step of the board: "download", "verify", "switch", wait for a welcome in "trial"; else ""."""
        return _NEXT.get(self.record["state"], "")

    def known(self, digest):
        """Return True if this very manifest is in progress or healthy: then only its state is reported."""
        same = self.record.get("hash") == digest and self.state in BUSY + GIVEN_UP + ("healthy",)
        if same:
            self._tell()
        return same

    def refused(self, version, error):
        """Report an offer that `check` refused.

        An update in progress continues, and a manifest of keys is not an update.
        """
        if self.state in BUSY + GIVEN_UP or version[:5] == "keys-":
            self._say(version, "refused", 0.0, error)
        else:
            self._move("offered", {"version": version, "hash": "", "error": error, "at": 0}, then="refused")

    def offered(self, digest, values):
        """Take an offer that `check` accepted; return False if the plan is `busy`.

        `digest` is the SHA-256 of the manifest in hex.
        """
        if self.state in BUSY:
            self._say(values["version"], "refused", 0.0, "busy: " + self.record["version"] + " is " + self.state)
            return False
        if self.state in GIVEN_UP:
            self._move("idle", {"error": "superseded: by " + values["version"]})
        update = {"hash": digest, "error": "", "at": 0, "slot": None, "sv": values["security_version"]}
        for name in ("version", "kind", "sha256", "size"):
            update[name] = values[name]
        update["key"] = values["key_id"]
        self._move("offered", update)
        return True

    def cancelled(self, version):
        """Give up the update of this version if it is not staged yet; report the present state in any case."""
        if self.state in GIVEN_UP and self.record.get("version") == version:
            self._move("idle", {"error": "cancelled"})
        else:
            self._tell()

    def downloading(self, slot):
        """Note that the payload goes to this slot; once an update, and again after a cut without effect."""
        if self.state == "offered":
            self._move("downloading", {"slot": slot, "at": 0})

    def wrote(self, at):
        """Note that `at` bytes of the payload are in flash; report the progress in quarters."""
        if self.state != "downloading":
            raise ValueError("a window in " + self.state)
        before = self.record["at"]
        size = self.record["size"]
        self._keep({"at": at})
        if at * 4 // size != before * 4 // size and at < size:
            self._tell()

    def downloaded(self):
        self._move("verifying", {"at": self.record["size"]})

    def staged(self):
        """Note that the payload is verified: read back from flash, its SHA-256 is right, each file was compared."""
        self._move("staged", {})

    def failed(self, error):
        self._move("failed", {"error": error})

    def rebooting(self):
        """Note that the board is about to choose the new slot for the next boot, and to reset."""
        if self.state == "rebooting":
            self._keep({"tries": self.record["tries"] + 1})
        else:
            self._move("rebooting", {"tries": 1})

    def booted(self, slot, went_back, kept, error):
        """Note a boot; call it at each.

        `slot` is the slot that runs; `went_back`: the selector gave the other slot up after its starts; `kept`: it does
        not count this slot's starts any more; `error` is reported if it went back: `unhealthy: REASON`.
        """
        is_new = slot == self.record.get("slot")
        if self.state == "rebooting":
            is_over = is_new or went_back or self.record["tries"] >= MAX_TRIES
            if is_over:
                self._move("trial", {})
        if self.state == "trial" and not is_new:
            self._move("rolled_back", {"error": error})
        elif self.state == "trial" and kept:
            self.healthy(self.record["sv"])
        elif not self.record["said"]:
            self._tell()

    def healthy(self, security_version):
        """Note a welcome on this firmware, of this security_version. The selector has kept the slot before."""
        if self.state == "trial":
            self._move("healthy", {"security": max(self.record["security"], security_version)})
        elif security_version > self.record["security"] and self.state != "rebooting":
            self._keep({"security": security_version})

    def _move(self, state, changes, then=""):
        """Move to this state, or through it to the state `then`: the flash never has the state between."""
        for old, new in ((self.state, state), (state, then)):
            if new and new not in TABLE[old]:
                raise ValueError("%s after %s" % (new, old))
        changes["state"] = then or state
        changes["said"] = False
        self._keep(changes)
        self._tell()

    def _keep(self, changes):
        record = dict(self.record)
        record.update(changes)
        self._save(record)
        self.record = record

    def _tell(self):
        record = self.record
        size = record.get("size") or 1
        over = record["state"] not in ("idle", "offered", "downloading", "refused", "failed")
        if over:
            progress = 1.0
        else:
            progress = (record.get("at", 0) * 4 // size) / 4
        self._say(record.get("version", ""), record["state"], progress, record.get("error") or None)
        if not record["said"]:
            self._keep({"said": True})
