#include <cstdio>
#include <stdexcept>

int parse(const char *text)
{
    if (!*text) {
        throw std::invalid_argument("empty");
    }
    return text[0] - '0';
}

int main()
{
    try {
        std::printf("%d\n", parse(""));
    } catch (const std::exception &e) {
        std::printf("%s\n", e.what());
    }
}
