from ht16 import HT16


class Display(HT16):
    def __init__(self, n):
        super().__init__(n)
        self.n += 1

    def name(self):
        return 'display'
