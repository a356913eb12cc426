int main(int argc) { return 0; }
