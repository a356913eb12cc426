template <typename T, int N>
class Ring {
public:
  void push(T value) { items[next++ % N] = value; if (count < N) count++; }
  T average() const {
    T sum = 0;
    for (int i = 0; i < count; i++) sum += items[i];
    return count ? sum / count : 0;
  }
private:
  T items[N];
  int next = 0, count = 0;
};

template <typename T> T clampTo(T v, T lo, T hi) {
  return v < lo ? lo : (v > hi ? hi : v);
}

Ring<float, 4> ring;

void forEach(int n, void (*f)(int)) {
  for (int i = 0; i < n; i++) f(i);
}

void setup() {
  Serial.begin(115200);
  for (int i = 1; i <= 6; i++) ring.push(i);
  Serial.println(ring.average());
  Serial.println(clampTo(12, 0, 10));
  auto square = [](int x) { return x * x; };
  Serial.println(square(9));
  int total = 0;
  auto add = [&total](int x) { total += x; };
  for (int v : {1, 2, 3}) add(v);
  Serial.println(total);
  forEach(3, [](int i) { Serial.print(i); });
  Serial.println();
}

void loop() { delay(1000); }
