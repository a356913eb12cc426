"""Where a bundle goes while it downloads. Read in for that, alone: with slots_files.py it would take 6 KB more."""

import os

from micropython import const

_NOTES = const(4)


class Payload:
    """The file that the bundle comes into. `at`: where the next piece goes; a power cut leaves what was flushed."""

    def __init__(self, path, size):
        self._file = open(path, "ab")
        quarter = max(1, size // _NOTES)
        self.at = os.stat(path)[6]
        if self.at > size:
            raise OSError("the payload is longer than it should be")
        self.note_at = (self.at // quarter + 1) * quarter  # from here on the plan is told

    def write(self, data):
        self._file.write(data)
        self.at += len(data)

    def flush(self):
        self._file.flush()

    def close(self):
        self._file.close()
