// C++'s containers beside Arduino's own functions of the same names.
#include <algorithm>
#include <map>
#include <string>
#include <vector>
using namespace std;

vector<int> readings;
std::map<string, int> pins;

int lowest(const vector<int> &all) { return *min_element(all.begin(), all.end()); }

void setup() {
  Serial.begin(115200);
  for (int value : {5, 3, 9}) readings.push_back(value);
  sort(readings.begin(), readings.end(), [](int a, int b) { return a > b; });
  Serial.println(readings[0]);
  Serial.println(lowest(readings));
  Serial.println(min(3, 4) + max(1, 2) + abs(-3));
  int a = 1, b = 2;
  swap(a, b);
  Serial.println(a);
  pins["led"] = 2;
  for (auto &each : pins) Serial.println((each.first + " on " + to_string(each.second)).c_str());
}

void loop() { delay(1000); }
