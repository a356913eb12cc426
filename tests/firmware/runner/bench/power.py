"""A file layer for storage.py and records.py whose power is cut before the n-th change of the flash, or in the middle of it."""

import os as real
import records
import storage

open_file = open


class PowerCut(BaseException):
    pass


class Flash:
    """`left` changes still happen; with `torn` the one after them happens by half, if it is a write."""

    def __init__(self, left, torn=False):
        self.left = left
        self.torn = torn
        self.listdir = real.listdir
        self.stat = real.stat
        self.statvfs = real.statvfs

    def step(self, by_half=None):
        if self.left == 0:
            self.left = -1
            if self.torn and by_half:
                by_half()
        if self.left < 0:
            raise PowerCut()
        self.left -= 1

    def rename(self, old, new):
        self.step()
        real.rename(old, new)

    def remove(self, path):
        self.step()
        real.remove(path)

    def mkdir(self, path):
        self.step()
        real.mkdir(path)

    def rmdir(self, path):
        self.step()
        real.rmdir(path)

    def open(self, path, mode):
        if mode == "rb":
            return open_file(path, mode)
        self.step()
        return File(self, open_file(path, mode))


class File:
    """A file that loses what was not flushed; a flush by half leaves the first half."""

    def __init__(self, flash, file):
        self.flash = flash
        self.file = file
        self.waiting = b""

    def __enter__(self):
        return self

    def __exit__(self, kind, exc, trace):
        if exc is None:
            self.flush()
        self.file.close()

    def write(self, data):
        self.waiting += bytes(data)

    def flush(self):
        if self.waiting:
            self.flash.step(lambda: self.put(self.waiting[: len(self.waiting) // 2]))
            self.put(self.waiting)
            self.waiting = b""

    def put(self, data):
        self.file.write(data)
        self.file.flush()


def connect(flash):
    """Have them use it; None: the real files."""
    storage.os = records.os = flash or real
    storage.open = flash.open if flash else open_file


def cut(change, left, torn=False):
    """Do it; whether the power was cut."""
    connect(Flash(left, torn))
    try:
        change()
        return False
    except PowerCut:
        return True
    finally:
        connect(None)


def erase(path):
    for name in real.listdir(path):
        try:
            real.remove(path + "/" + name)
        except OSError:
            erase(path + "/" + name)
            real.rmdir(path + "/" + name)
