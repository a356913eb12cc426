#include <string.h>
#include <unistd.h>

int main(void)
{
    const char *text = "plain write\n";
    write(STDOUT_FILENO, text, strlen(text));
    return 0;
}
