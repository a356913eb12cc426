"""`cryptolib` of the image, which this board has not: a program that asks for it ends untried."""

import _board

__getattr__ = _board.absent("cryptolib", "aes")
