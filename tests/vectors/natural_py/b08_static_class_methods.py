import time


class Util:
    count = 0

    @staticmethod
    def pause(ms):
        time.sleep_ms(ms)
        return ms

    @classmethod
    def counted(cls, ms):
        cls.count += 1
        return cls.pause(ms)


print(Util.pause(10), Util.counted(20), Util().counted(30), Util.count)
