"""`os` of the image, with what WASI lacks."""

from collections import namedtuple

import _board
from uos import *

_Uname = namedtuple("uname_result", "sysname nodename release version machine")


def statvfs(path):
    free, total = _board.call("statvfs")
    return (4096, 4096, total // 4096, free // 4096, free // 4096, 0, 0, 0, 0, 255)


def sync():
    pass


def uname():
    return _Uname("esp32", "esp32", "1.26.1", "v1.26.1", _board.call("chip_name"))
