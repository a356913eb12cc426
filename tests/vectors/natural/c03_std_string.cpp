#include <cstdio>
#include <string>

int main()
{
    std::string name = "board";
    name += " one";
    std::printf("%s %zu\n", name.c_str(), name.size());
    return 0;
}
