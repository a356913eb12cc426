import time


def main(n=2):
    for i in range(n):
        time.sleep_ms(5)
    return n


class App:
    main = 7

    def start(self, main):
        return main + self.main


print(main(n=3), App().start(main=1))
run = main
print(run())
