class A {
public:
    int x;
}
int main() { A a; a.x = 1; return a.x; }
