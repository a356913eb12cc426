"""`os` of the image, with what WASI lacks."""

import _board
from uos import *


def statvfs(path):
    free, total = _board.call("statvfs")
    return (4096, 4096, total // 4096, free // 4096, free // 4096, 0, 0, 0, 0, 255)
