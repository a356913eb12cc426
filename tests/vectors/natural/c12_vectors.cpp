#include <cmath>
#include <cstdio>

struct Vec {
    float x, y;
    Vec operator+(const Vec &o) const { return {x + o.x, y + o.y}; }
    Vec &operator*=(float k)
    {
        x *= k;
        y *= k;
        return *this;
    }
    float length() const { return std::sqrt(x * x + y * y); }
};

int main()
{
    Vec v = Vec{1, 2} + Vec{2, 2};
    v *= 2;
    std::printf("%.2f %.2f %.2f\n", v.x, v.y, v.length());
}
