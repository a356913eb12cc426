/* FS.h: files under /storage, which all programs of the board share: "/log.txt" is /storage/log.txt. There are no folders, and no
 * file can be deleted or listed, as the firmware offers neither: FILE_WRITE empties one. */
#pragma once
#include <Arduino.h>
#define FILE_READ "r"
#define FILE_WRITE "w"
#define FILE_APPEND "a"
namespace fs {
enum SeekMode { SeekSet, SeekCur, SeekEnd };

/* An open file. Copies are the same file, which is closed with the last one. */
class File : public Stream {
  public:
    using Print::write;
    constexpr File() { _timeout = 0; }
    File(const File &other);
    File &operator=(const File &other);
    ~File() { leave(); }
    operator bool() const { return open_ && open_->fd >= 0; }
    size_t write(uint8_t c) override { return write(&c, 1); }
    size_t write(const uint8_t *data, size_t size) override;
    int available() override;
    int read() override;
    int peek() override;
    size_t read(uint8_t *out, size_t size);
    size_t readBytes(char *out, size_t size) override { return read((uint8_t *)out, size); }
    size_t readBytes(uint8_t *out, size_t size) override { return read(out, size); }
    void flush() override;
    bool seek(uint32_t place, SeekMode from = SeekSet);
    size_t position() const;
    size_t size() const;
    void close();
    const char *path() const { return open_ ? open_->path : ""; }
    const char *name() const { return open_ ? open_->path + 1 : ""; }
    bool isDirectory() const { return false; }

  private:
    friend class FS;
    struct Open {
        int fd, users;
        char path[48];
    };
    void leave();
    Open *open_ = nullptr;
};

class FS {
  public:
    /* There is nothing to be mounted: whether the board has /storage is checked before a program is installed. */
    bool begin(bool = false, const char * = nullptr, uint8_t = 0, const char * = nullptr) { return true; }
    void end() {}
    File open(const char *path, const char *mode = FILE_READ, bool create = false);
    File open(const String &path, const char *mode = FILE_READ, bool create = false) { return open(path.c_str(), mode, create); }
    bool exists(const char *path) { return open(path); }
    bool exists(const String &path) { return open(path); }
};
typedef FS LittleFSFS;
typedef FS SPIFFSFS;
}
using fs::File;
using fs::FS;
using fs::SeekCur;
using fs::SeekEnd;
using fs::SeekMode;
using fs::SeekSet;
