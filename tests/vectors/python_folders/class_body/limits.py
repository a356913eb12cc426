LIMIT = 9
low = 1


class Range:
    low = low
    LIMIT = LIMIT + 1


print(Range.low, Range.LIMIT)
