from middle import *
