#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>

struct Door {
    virtual ~Door() { std::puts("gone"); }
    virtual const char *name() const = 0;
    virtual std::unique_ptr<Door> press() = 0;
};
struct Open : Door {
    const char *name() const override { return "open"; }
    std::unique_ptr<Door> press() override;
};
struct Closed : Door {
    const char *name() const override { return "closed"; }
    std::unique_ptr<Door> press() override { return std::make_unique<Open>(); }
};
std::unique_ptr<Door> Open::press() { return std::make_unique<Closed>(); }

int main() {
    std::unique_ptr<Door> door = std::make_unique<Closed>();
    for (int i = 0; i < 3; i++) {
        std::puts(door->name());
        door = door->press();
    }
    auto shared = std::make_shared<std::string>("shared");
    std::weak_ptr<std::string> weak = shared;
    std::printf("%s %ld\n", weak.lock()->c_str(), shared.use_count());
    shared.reset();
    std::puts(weak.expired() ? "expired" : "alive");
    std::unordered_map<std::string, int> count;
    for (const char *word : {"a", "b", "a"}) count[word]++;
    std::printf("%d %d\n", count["a"], std::stoi("42"));
}
