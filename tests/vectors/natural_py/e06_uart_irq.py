from machine import UART

uart = UART(1, 9600, tx=17, rx=16)
uart.irq(lambda u: print(u.read()), UART.IRQ_RXIDLE)
