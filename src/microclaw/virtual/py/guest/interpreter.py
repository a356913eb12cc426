"""`micropython` of the image, with what WASI lacks. Takes the place of the built-in module."""

from micropython import *


def alloc_emergency_exception_buf(size):
    """Here an exception in an interrupt has memory."""
