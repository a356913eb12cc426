#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) {
    for (int i = 990;; i += 5) {
        char *text = malloc(8);
        sprintf(text, "no. %d", i);
        puts(text);
        free(text);
        sleep(1);
    }
}
