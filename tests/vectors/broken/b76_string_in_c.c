#include <stdio.h>
int main(void) {
    string name = "x";
    printf("%s\n", name);
    bool b = true;
    return 0;
}
