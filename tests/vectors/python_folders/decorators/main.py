from deco import counted, calls


@counted
def work(n):
    return n * 2


print(work(2), work(3), calls)
