"""The installed programs: their names and facts. Code for files is in storage.py, uploads.py and records.py.

Those are loaded when needed, and the runner drops them soon after: their 8 KB are free most of the time.
"""

from binding import bound
from errors import CallError

UPLOADED = "=part"


class Slots:
    """The installed programs and their records.

    A record: name, gen, r (its file), now and before (a slot or ""), undo, a, b (facts of an image).
    Every other method is a function of one of those three modules.
    """

    def __init__(self, root="/apps"):
        self.root = root
        self.upload_path = root + "/=upload"
        self.part_path = root + "/" + UPLOADED + ".mpy"
        self.records = {}
        # Maps a name to what is wrong.
        self.damaged = {}
        # Maps a name to what a person should know about a program that runs nevertheless.
        self.notes = {}
        self.gen = 0
        self.load_all()

    def __getattr__(self, name):
        if name in ("begin", "write", "check_upload"):
            module = "uploads"
        elif name in ("image", "folder_of", "drop_upload"):
            module = "storage"
        else:
            module = "records"
        return bound(getattr(__import__(module), name), self)

    def names(self):
        return sorted([name for name, record in self.records.items() if record["now"]] + list(self.damaged))

    def facts(self, name):
        """Return [size, sha256, heap, autostart] of the image in use, then, if it has them, times and network.

        These are every_ms and stop_after_ms, then hosts and ports.
        """
        record = self.known(name)
        return record[record["now"]]

    def known(self, name):
        if name in self.damaged:
            text = "the files of %s are damaged (%s): remove it, or install it again"
            raise CallError("failed", text % (name, self.damaged[name]))
        record = self.records.get(name)
        if record is None or not record["now"]:
            raise CallError("app_not_found", "no program named %s is installed" % str(name)[:80])
        return record
