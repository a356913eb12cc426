#include <stdio.h>
int main(void) {
long double read; sscanf("1", "%Lf", &read);
}
