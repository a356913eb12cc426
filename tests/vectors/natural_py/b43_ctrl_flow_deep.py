import time


def search(grid, want):
    for y, row in enumerate(grid):
        for x, v in enumerate(row):
            time.sleep_ms(1)
            if v == want:
                return x, y
    else:
        return None


print(search([[1, 2], [3, 4]], 3), search([[1]], 9))
