#include <cstdio>

int main()
{
    const char *json = R"({"name": "lamp", "path": "C:\new", "on": true})";
    const char *page = R"html(<a href="/">
 "quoted" )" still here
</a>)html";
    std::printf("%s\n", json);
    std::printf("%s\n", page);
    return 0;
}
