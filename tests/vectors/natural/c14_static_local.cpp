#include <cstdio>

class Counter {
public:
    static Counter &instance()
    {
        static Counter counter;
        return counter;
    }
    int next() { return ++value_; }

private:
    Counter() { std::printf("made\n"); }
    int value_ = 10;
};

int main()
{
    std::printf("%d\n", Counter::instance().next());
    std::printf("%d\n", Counter::instance().next());
}
