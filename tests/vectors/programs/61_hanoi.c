#include <stdio.h>
#include <unistd.h>

static int moves;

static void hanoi(int n, char from, char to, char by)
{
    if (n == 0)
        return;
    hanoi(n - 1, from, by, to);
    moves++;
    printf("%2d: disc %d %c -> %c\n", moves, n, from, to);
    usleep(10000);
    hanoi(n - 1, by, to, from);
}

int main(void)
{
    hanoi(4, 'A', 'C', 'B');
    printf("%d moves\n", moves);
    return moves == 15 ? 0 : 1;
}
