"""Boot selector: which of the two folders of our own files runs. Three starts in a row without health: the other one.

NVS keeps `slot` (0 is /fw_a) and `fails`, not RTC memory, which a power cut empties; fw/firmware.py sets `fails` to 0.
"""

import os
import sys
import time

import esp32

FOLDERS = ("/fw_a", "/fw_b")
MAX_FAILS = 3
CRASH_WAIT_S = 2


def choose(nvs, there):
    """The folder to start, of those that are `there`; the start is counted as failed until it says otherwise."""
    slot, fails = _number(nvs, "slot"), _number(nvs, "fails") + 1
    if fails > MAX_FAILS and FOLDERS[1 - slot] in there:
        slot, fails = 1 - slot, 1
        nvs.set_i32("slot", slot)
    elif FOLDERS[slot] not in there:
        slot = 1 - slot
    nvs.set_i32("fails", fails)
    nvs.commit()
    return FOLDERS[slot]


def _number(nvs, name):
    try:
        return nvs.get_i32(name)
    except OSError:
        return 0


if __name__ == "__main__":
    sys.path.insert(0, choose(esp32.NVS("microclaw"), ["/" + name for name in os.listdir("/")]))
    del choose, _number  # what is not needed any more is memory
    try:
        import start

        start.main()
    except Exception as exc:  # a folder that cannot run: again, and then the other; Ctrl-C on the cable gets through
        import machine

        sys.print_exception(exc)
        time.sleep(CRASH_WAIT_S)  # Ctrl-C meanwhile gives the prompt, also over files that do not fit together
        machine.reset()
