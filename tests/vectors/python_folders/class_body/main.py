from limits import LIMIT
import limits


class Box:
    LIMIT = LIMIT
    low = limits.low
    both = [LIMIT, low]


print(Box.LIMIT, Box.low, Box.both)
