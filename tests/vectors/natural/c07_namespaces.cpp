#include <cstdint>
#include <cstdio>

namespace units {
inline namespace v1 {
constexpr long double operator""_km(long double value) { return value * 1000; }
constexpr unsigned long long operator""_min(unsigned long long value) { return value * 60; }
}
}
using namespace units;

int main()
{
    static_assert(2_min == 120, "minutes");
    std::printf("%d s, %d m\n", static_cast<int>(3_min), static_cast<int>(1.5_km));
}
