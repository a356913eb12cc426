import back
from back import Part
