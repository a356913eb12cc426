"""Texts for people in a file beside this module: at build time they leave the modules that always stay.

With enough memory (PSRAM), every text stays where it is written, and nothing of this is installed.
"""


def text_at(at):
    try:
        with open(__file__[: __file__.rfind("/") + 1] + "texts.txt") as file:
            file.seek(at)
            return file.readline()[:-1]
    except (OSError, MemoryError):
        return "text %d of the firmware" % at
