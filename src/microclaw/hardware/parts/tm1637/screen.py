"""The digits on two pins, opened for microclaw.screen (hardware/screens/python)."""

from machine import Pin
from microclaw.screen_characters import Digits
from tm1637 import TM1637


def tm1637(clk, dio, digits=4, colon=1):
    return Digits(TM1637(Pin(clk), Pin(dio)), digits, not colon)
