#include <array>
#include <cstdio>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

template <typename T, size_t N> class Window {
  public:
    void add(T value) { kept_[next_++ % N] = value; }
    std::optional<double> mean() const {
        if (next_ < N) return std::nullopt;
        return std::accumulate(kept_.begin(), kept_.end(), 0.0) / N;
    }

  private:
    std::array<T, N> kept_{};
    size_t next_ = 0;
};

template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>> T saturated(T a, T b) {
    return b > std::numeric_limits<T>::max() - a ? std::numeric_limits<T>::max() : a + b;
}

int main() {
    Window<int, 3> window;
    for (int value : {10, 20, 60}) {
        if (!window.mean()) std::puts("not yet");
        window.add(value);
    }
    std::printf("%.1f\n", *window.mean());
    std::printf("%d\n", saturated(2147483000, 5000));
    std::pair<int, int> pair{1, 2};
    std::swap(pair.first, pair.second);
    auto [id, name] = std::make_tuple(pair.first, "lamp");
    std::printf("%d %s\n", id, name);
}
