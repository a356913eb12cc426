import math
import time


def on():
    return time.time() > 0


def root(number):
    return math.sqrt(number)
