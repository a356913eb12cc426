import time


class Text:
    def format(self, x):
        time.sleep_ms(5)
        return "<%s>" % x

    def join(self, xs):
        return "+".join(xs)


t = Text()
print(t.format(3), "{}-{}".format(1, 2), t.join(["a", "b"]), ",".join(["c", "d"]))
