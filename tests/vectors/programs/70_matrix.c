#include <stdio.h>
#include <unistd.h>

#define N 3

typedef double matrix[N][N];

static double determinant(const matrix m)
{
    return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
           m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

static void multiply(matrix out, const matrix a, const matrix b)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            out[i][j] = 0;
            for (int k = 0; k < N; k++)
                out[i][j] += a[i][k] * b[k][j];
        }
        usleep(1000);
    }
}

int main(void)
{
    matrix a = {{2, 0, 1}, {1, 3, -1}, {0.5, 4, 1}}, b, c;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            b[i][j] = a[j][i];
    multiply(c, a, b);
    for (int i = 0; i < N; i++)
        printf("%7.2f %7.2f %7.2f\n", c[i][0], c[i][1], c[i][2]);
    printf("det %.3f %.3f\n", determinant(a), determinant(c));
    return 0;
}
