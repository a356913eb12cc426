#error this example is no part of the library
