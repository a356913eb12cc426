#include <stdio.h>
int main(void) {
    if (1 == 1 {
        printf("x\n";
    }
    return 0;
}
