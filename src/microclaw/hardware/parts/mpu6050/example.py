# Says when the board is turned on its side, and how warm it is.
from time import sleep_ms

from machine import I2C, Pin
from mpu6050 import MPU6050

i2c = I2C(0, scl=Pin(9), sda=Pin(8), freq=400000)
mpu = MPU6050(i2c)

while True:
    ax, ay, az = mpu.acceleration
    gx, gy, gz = mpu.gyro
    print(f"accel {ax:.2f} {ay:.2f} {az:.2f}")
    print(f"gyro {gx:.2f} {gy:.2f} {gz:.2f}")
    print(f"temp {mpu.temperature:.1f}")
    if abs(ax) > 5:
        print("on its side")
    sleep_ms(500)
