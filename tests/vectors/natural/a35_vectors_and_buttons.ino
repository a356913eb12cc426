#include <Wire.h>
#include <math.h>
class Vec3 {
public:
  float x, y, z;
  Vec3(float x = 0, float y = 0, float z = 0) : x(x), y(y), z(z) {}
  Vec3 operator+(const Vec3& o) const { return Vec3(x + o.x, y + o.y, z + o.z); }
  Vec3 &operator+=(const Vec3& o) { x += o.x; y += o.y; z += o.z; return *this; }
  float length() const { return sqrt(x*x + y*y + z*z); }
  String toString() const { return "(" + String(x) + ", " + String(y) + ", " + String(z) + ")"; }
};
Vec3 sum;
class Button {
  private:
    const uint8_t pin;
    bool last;
    void (*callback)(int);
  public:
    Button(uint8_t p, void (*cb)(int)) : pin(p), last(HIGH), callback(cb) {}
    void begin() { pinMode(pin, INPUT_PULLUP); }
    void poll() { bool now = digitalRead(pin); if (now != last) { last = now; if (!now) callback(pin); } }
};
void onPress(int p) { Serial.print("pressed "); Serial.println(p); }
Button buttons[] = { Button(4, onPress), {7, onPress} };
void setup() {
  Serial.begin(115200);
  for (auto &b : buttons) b.begin();
  sum += Vec3(3, 4);
  Serial.println(sum.length());
  Serial.println(sum.toString());
  Serial.println(sin(PI / 2), 3);
  Serial.println(String(255, HEX) + " " + String(5, BIN) + " " + String(-7));
  int values[5] = {5, 3, 1, 4, 2};
  sort(values, 5);
  for (int v : values) { Serial.print(v); Serial.print(","); }
  Serial.println();
  uint8_t crc = crc8((const uint8_t *)"abc", 3);
  Serial.println(crc, HEX);
  Serial.println(isPrime(97) ? "prime" : "no");
  Serial.println(10 / 3); Serial.println(10 / 3.0); Serial.println(7 % 3);
  Serial.println(0x80000000, HEX); Serial.println(-1, HEX); Serial.println((byte)-1, BIN);
  int *p = new int[10]; p[3] = 4; Serial.println(p[3]); delete[] p;
  Serial.println(sizeof(int)); Serial.println(sizeof(long));
  const char* const names[] = {"x", "y"}; Serial.println(names[1]);
  Serial.println(1e10); Serial.println(NAN); Serial.println(-0.004);
}
void loop() { for (auto &b : buttons) b.poll(); delay(10); }
void sort(int a[], int n) { for (int i = 0; i < n - 1; i++) for (int j = 0; j < n - i - 1; j++) if (a[j] > a[j + 1]) { int t = a[j]; a[j] = a[j + 1]; a[j + 1] = t; } }
uint8_t crc8(const uint8_t *data, size_t len) { uint8_t crc = 0; while (len--) { crc ^= *data++; for (int i = 0; i < 8; i++) crc = crc & 0x80 ? (crc << 1) ^ 0x31 : crc << 1; } return crc; }
bool isPrime(int n) { for (int i = 2; i * i <= n; i++) if (n % i == 0) return false; return true; }
