#include <vector>
#include <string>
std::vector<int> v;
int main(){ v.push_back(1); std::string s = "x"; for (auto x : v) { s += x; } return v.size(); }
