import time


def sleep(x):
    print("my own sleep", x)


sleep(3)


class A:
    def run(self):
        return sleep(1)


A().run()
print(time.ticks_ms() < 100)
