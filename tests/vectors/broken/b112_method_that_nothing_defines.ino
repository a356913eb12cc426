class A { public: void go(); };
void setup() {
  A a;
  a.go();
}
void loop() {}
