import typing
from typing import TYPE_CHECKING

import lamp

if TYPE_CHECKING:
    from typings.board import Led
else:
    print("no types")
if typing.TYPE_CHECKING:
    import absent


def level(led: "Led") -> int:
    if TYPE_CHECKING:
        import unused
    return led


print(level(lamp.level))
