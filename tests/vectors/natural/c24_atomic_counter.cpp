#include <atomic>
#include <cstdio>

std::atomic<int> presses{0};
std::atomic<bool> ready{false};

int main() {
    presses++;
    presses.fetch_add(3);
    ready = true;
    std::printf("%d %d\n", presses.load(), ready.load() ? 1 : 0);
}
