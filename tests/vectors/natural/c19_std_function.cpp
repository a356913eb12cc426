#include <cstdio>
#include <functional>
#include <vector>

int main()
{
    std::vector<std::function<int(int)>> steps;
    steps.push_back([](int x) { return x + 1; });
    steps.push_back([](int x) { return x * 10; });
    int value = 4;
    for (auto &step : steps) {
        value = step(value);
    }
    std::printf("%d\n", value);
}
