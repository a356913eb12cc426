#include <stdio.h>
int main(void) {
    struct sensor s;
    s.value = 3;
    sensor_t t;
    t.v = 1;
    return 0;
}
