import middle
from middle import Part
