#include <stdio.h>
#include <unistd.h>
static char marks[8];
__attribute__((noinline)) static void mark(char *to, int count) {
    for (int i = 0; i < count; i++) {
        to[i] = '*';
    }
}
int main(void) {
    for (int count = 4;; count += 40) {
        mark(marks, count);
        printf("%c\n", marks[3]);
        sleep(1);
    }
}
