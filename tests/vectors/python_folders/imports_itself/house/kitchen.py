sinks = 2
