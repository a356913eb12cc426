"""A board with two folders of our files, FOLDER/fw_a and FOLDER/fw_b: micropython boot_slots.py FOLDER.

As boot.py, with the selector main.py before it.
"""

import sys

sys.path[:0] = ["tests/firmware/simulated", "firmware"]
import esp32
import main

main.FOLDERS = (sys.argv[1] + "fw_a", sys.argv[1] + "fw_b")
sys.path.insert(0, main.choose(esp32.NVS("microclaw"), main.whole()))
sys.path.remove("firmware")
print("starting", sys.path[0])
try:
    import start

    start.main(sys.argv[1])
except Exception as exc:
    sys.print_exception(exc)
    sys.exit(3)
