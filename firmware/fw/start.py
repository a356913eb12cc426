"""The entry that main.py calls: makes room for our modules, and runs them."""

import gc
import sys


def main(folder="/"):
    from heap import first_block

    # It keeps the heap's new part until our modules are in it.
    first = [first_block()]
    sys.modules.pop("heap")
    # Rubbish must not make the heap grow, nor look as if memory were short.
    gc.threshold(4096)
    import asyncio

    asyncio.run(run(folder, first))


async def run(folder, first):
    from binding import once

    from firmware import stay

    board, tasks = await once("startup").begin(folder, first)
    await stay(board, tasks)
