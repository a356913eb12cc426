print('main begins')
import first

print('between')
from second import value
import first

print('end', value)
