"""As boot_slots.py, after MicroPython's table of names has grown.

It doubles when it is full, for good: by 4.6 KB when 620 names are known. Whatever reads in the next name would seem to
take that. How many names are known then depends on the programs and on the image.
"""


class _Names:
    pass


for _number in range(200):
    setattr(_Names, "a name %d" % _number, None)
del _Names
with open("tests/firmware/simulated/boot_slots.py") as _file:
    exec(_file.read())
