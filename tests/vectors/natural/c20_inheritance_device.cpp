#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

class File {
public:
    File(const char *path, int flags) : fd_(open(path, flags)) {}
    ~File() { if (fd_ >= 0) close(fd_); }
    bool ok() const { return fd_ >= 0; }

protected:
    int fd_;
};

class Relay : public File {
public:
    Relay() : File("/dev/gpio/17", O_WRONLY) {}
    void set(bool on)
    {
        uint8_t level = on;
        write(fd_, &level, 1);
    }
};

int main()
{
    Relay relay;
    if (!relay.ok()) {
        std::puts("no relay");
        return 1;
    }
    relay.set(true);
    sleep(2);
    relay.set(false);
}
