"""As boot.py, with ESP-IDF's heap: {free, largest} of FOLDER/idf.json. Where FOLDER/stuck is, dialling never ends."""

import json
import os
import sys

sys.path.insert(0, sys.argv[2])
import esp32
import start

import firmware

FOLDER = sys.argv[1]


def idf_heap_info(_):
    with open(FOLDER + "idf.json") as file:
        heap = json.load(file)
    return [(heap["free"], heap["free"], heap["largest"], heap["free"])]


async def never(*_):
    import asyncio

    await asyncio.Event().wait()


esp32.HEAP_DATA = 4
esp32.idf_heap_info = idf_heap_info
firmware.LOOK_S = 0.1
firmware.BACK_MS = 2000
if "stuck" in os.listdir(FOLDER):
    import dial

    dial.open_link = never
    os.remove(FOLDER + "stuck")
start.main(FOLDER)
