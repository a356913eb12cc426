#include <cstdio>

struct Point {
    int x, y;
};

int main()
{
    const Point points[] = {{1, 2}, {3, 4}};
    int sum = 0;
    for (const auto &[x, y] : points) {
        sum += x * y;
    }
    if (int doubled = sum * 2; doubled > 10) {
        std::printf("sum %d, doubled %d\n", sum, doubled);
    }
}
