import first
from first import EARLY, Base

LATER = EARLY + 5


class Heir(Base):
    def late(self):
        return first.LATE
