#include <cstdio>
#include <memory>

struct Sensor {
    virtual ~Sensor() = default;
    virtual float read() = 0;
};
struct Fixed : Sensor {
    float read() override { return 21.5f; }
};

int main()
{
    std::unique_ptr<Sensor> sensor = std::make_unique<Fixed>();
    std::printf("%.1f\n", sensor->read());
}
