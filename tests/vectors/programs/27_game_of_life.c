#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define N 6

static int neighbours(bool grid[N][N], int y, int x)
{
    int count = 0;
    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++)
            if (dy || dx)
                count += grid[(y + dy + N) % N][(x + dx + N) % N];
    return count;
}

int main(void)
{
    bool grid[N][N] = { { 0, 1, 0 }, { 0, 0, 1 }, { 1, 1, 1 } };
    for (int generation = 0; generation < 4; generation++) {
        bool next[N][N];
        printf("generation %d\n", generation);
        for (int y = 0; y < N; y++) {
            char row[N + 1] = { 0 };
            for (int x = 0; x < N; x++) {
                int around = neighbours(grid, y, x);
                row[x] = grid[y][x] ? '#' : '.';
                next[y][x] = around == 3 || (grid[y][x] && around == 2);
            }
            usleep(10000);
            puts(row);
        }
        memcpy(grid, next, sizeof grid);
        sleep(1);
    }
    return 0;
}
