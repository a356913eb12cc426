#include <cstdio>
#include <cstring>

template <typename A, typename B>
auto bigger(A a, B b) -> decltype(a + b)
{
    return a > b ? a : b;
}

template <typename... Args>
void line(const char *format, Args... args)
{
    char text[64];
    std::snprintf(text, sizeof text, format, args...);
    std::puts(text);
}

int main()
{
    line("%d %.1f", bigger(3, 4), bigger(2.5, 1));
    line("%s has %d letters", "lamp", static_cast<int>(std::strlen("lamp")));
}
