#include <stdio.h>
#include <string.h>
#include <unistd.h>
static char name[8];
static void set_name(const char *s) {
    strcpy(name, s);
}
int main(void) {
    char words[4][20] = {"lamp", "kitchen", "living-room", "hall"};
    for (int i = 0; i < 4; i++) {
        set_name(words[i]);
        printf("%s\n", name);
        sleep(1);
    }
}
