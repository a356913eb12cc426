#include <cstdio>
#include <vector>

int main() {
    std::vector<int> samples{1, 2, 3};
    int sum = 0;
    for (size_t i = 0; i <= samples.size(); i++) {
        sum += samples[i];
    }
    std::printf("%d\n", sum);
}
