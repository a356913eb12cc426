import time

speed = 1


def on():
    time.sleep(0.01)
    print('on', __name__)


def faster():
    return speed + 1
