#include <cstdio>
#include <cstdint>
#include <cstring>

class Matrix {
 public:
  Matrix(int a, int b, int c, int d) : v_{a, b, c, d} {}
  Matrix operator*(const Matrix &o) const {
    return Matrix(v_[0] * o.v_[0] + v_[1] * o.v_[2], v_[0] * o.v_[1] + v_[1] * o.v_[3],
                  v_[2] * o.v_[0] + v_[3] * o.v_[2], v_[2] * o.v_[1] + v_[3] * o.v_[3]);
  }
  int at(int i) const { return v_[i]; }

 private:
  int v_[4];
};

int main() {
  Matrix f(1, 1, 1, 0), r(1, 0, 0, 1);
  for (int i = 0; i < 10; i++) r = r * f;
  std::printf("fib(10) = %d\n", r.at(1));
  char text[8];
  std::strncpy(text, "abc", sizeof text);
  printf("%s %d\n", text, static_cast<int>(std::strlen(text)));
  return 0;
}
