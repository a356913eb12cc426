import time


class Sorter:
    def weight(self, x):
        time.sleep_ms(1)
        return -x

    def sort(self, items):
        return sorted(items, key=self.weight)

    def run(self):
        items = [1, 2]
        items.sort(key=lambda x: self.weight(x))
        return items


print(Sorter().run())
