#include <cstdio>

class Shape {
public:
    virtual ~Shape() {}
    virtual int area() const = 0;
};

class Square : public Shape {
public:
    Square(int side) : side_(side) {}
    ~Square() override { std::printf("square gone\n"); }
    int area() const override { return side_ * side_; }

private:
    int side_;
};

int main()
{
    Shape *shape = new Square(4);
    std::printf("area %d\n", shape->area());
    delete shape;
    int *many = new int[8]{1, 2, 3};
    std::printf("%d %d\n", many[2], many[7]);
    delete[] many;
}
