import errors
from errors import PartError as Failed

try:
    errors.fail(3)
except errors.PartError as error:
    print('caught', error.args)
try:
    errors.fail(4)
except Failed as error:
    print('again', error.args)
