"""`time` as the program sees it: a real module, for `from time import *`; each look at the clock costs a little."""

import _board
import clock

_time = clock.Time(_board.COST_US)
sleep = _time.sleep
sleep_ms = _time.sleep_ms
sleep_us = _time.sleep_us
ticks_ms = _time.ticks_ms
ticks_us = _time.ticks_us
ticks_cpu = _time.ticks_cpu
ticks_add = _time.ticks_add
ticks_diff = _time.ticks_diff
time = _time.time
time_ns = _time.time_ns
localtime = _time.localtime
gmtime = _time.gmtime
mktime = _time.mktime
