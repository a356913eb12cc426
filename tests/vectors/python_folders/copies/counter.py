count = 0
LIMIT = 9


def bump():
    global count
    count += 1
