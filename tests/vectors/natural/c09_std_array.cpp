#include <algorithm>
#include <array>
#include <cstdio>

int main()
{
    std::array<int, 4> values{4, 1, 3, 2};
    std::sort(values.begin(), values.end());
    for (int value : values) {
        std::printf("%d\n", value);
    }
}
