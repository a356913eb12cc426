#include "microclaw.h"
#define PIN 2
int main(void) {
 i2c_write_reg(0, 0x50, 0, 0, 0);
}
