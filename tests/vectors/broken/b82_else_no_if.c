#include <stdio.h>
int main(void) {
    int a = 1;
    if (a);
    {
    printf("a");
    }
    else {
    printf("b");
    }
}
