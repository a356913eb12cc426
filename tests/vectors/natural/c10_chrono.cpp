#include <chrono>
#include <cstdio>
#include <thread>

int main()
{
    using namespace std::chrono_literals;
    for (int i = 0; i < 3; ++i) {
        std::printf("%d\n", i);
        std::this_thread::sleep_for(500ms);
    }
}
