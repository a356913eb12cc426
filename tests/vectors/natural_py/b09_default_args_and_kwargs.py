import time


def wait(ms=10, *, tag="t", **extra):
    time.sleep_ms(ms)
    return "%s%d%s" % (tag, ms, extra.get("x", ""))


def outer(value=wait(5)):
    return value


print(outer(), wait(tag="a"), wait(20, x="!"), wait(**{"ms": 7}))
