"""Boot selector: which of the two folders of our own files runs. Starts in a row without health: the other one.

NVS keeps `slot` (0 is /fw_a), `fails`, and `trial` (1 + the slot of an update that is on trial), not RTC memory, which
a power cut empties; fw/firmware.py sets `fails` to 0. A folder on trial has three starts. Another one has twelve: the
guard of programs (fw/chip_facts.py) acts before, and who pulls the plug a few times gets no old firmware by it.
"""

import os
import sys
import time

import esp32

FOLDERS = ("/fw_a", "/fw_b")
# The file that is written last.
WHOLE = "whole"
TRIAL_STARTS = 3
STARTS = 12
CRASH_WAIT_S = 2


def choose(nvs, folders):
    """Return the folder to start, of those in `folders`; the start counts as failed until it is reported healthy."""
    slot = _number(nvs, "slot")
    fails = _number(nvs, "fails") + 1
    most = TRIAL_STARTS if _number(nvs, "trial") == slot + 1 else STARTS
    if fails > most and FOLDERS[1 - slot] in folders:
        slot = 1 - slot
        fails = 1
        # Before `fails`: after a cut between them this one is not on trial.
        nvs.set_i32("slot", slot)
    elif FOLDERS[slot] not in folders:
        slot = 1 - slot
    nvs.set_i32("fails", fails)
    nvs.commit()
    return FOLDERS[slot]


def whole():
    """Return the folders with all of their files; if none is marked whole, those with any files."""
    folders = [name for name in FOLDERS if _files(name)]
    return [name for name in folders if WHOLE in _files(name)] or folders


def _files(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _number(nvs, name):
    try:
        return nvs.get_i32(name)
    except OSError:
        return 0


if __name__ == "__main__":
    sys.path.insert(0, choose(esp32.NVS("microclaw"), whole()))
    # Free the memory of the names that are not needed any more.
    del choose, whole, _files, _number
    try:
        import start

        start.main()
    except Exception as exc:
        # The folder cannot run: start it again, and then the other. Ctrl-C on the cable is not caught here.
        import machine

        sys.print_exception(exc)
        # Ctrl-C during this wait gives the prompt, also if the files do not fit together.
        time.sleep(CRASH_WAIT_S)
        machine.reset()
