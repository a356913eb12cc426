#include <cstdio>

template <typename T, int N>
class Ring {
public:
    bool push(const T &value)
    {
        if (count_ == N) {
            return false;
        }
        items_[(head_ + count_++) % N] = value;
        return true;
    }
    T pop()
    {
        T value = items_[head_];
        head_ = (head_ + 1) % N;
        count_--;
        return value;
    }
    bool empty() const { return count_ == 0; }

private:
    T items_[N] = {};
    int head_ = 0, count_ = 0;
};

int main()
{
    Ring<int, 3> ring;
    for (int i = 1; i <= 5; i++) {
        if (!ring.push(i * i)) {
            std::printf("full at %d\n", i);
        }
    }
    while (!ring.empty()) {
        std::printf("%d\n", ring.pop());
    }
}
