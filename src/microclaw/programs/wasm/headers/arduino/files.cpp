/* FS.h by the firmware's own calls for files. */
#include <FS.h>
#include <LittleFS.h>
#include <SPIFFS.h>
#include <fcntl.h>
#include <unistd.h>

#define STORAGE "/storage/"

fs::FS LittleFS, SPIFFS;

namespace fs {
static int flags_of(const char *mode) {
    bool both = strchr(mode, '+');
    switch (mode[0]) {
    case 'w':
        return (both ? O_RDWR : O_WRONLY) | O_CREAT | O_TRUNC;
    case 'a':
        return (both ? O_RDWR : O_WRONLY) | O_CREAT | O_APPEND;
    default:
        return both ? O_RDWR : O_RDONLY;
    }
}

File FS::open(const char *path, const char *mode, bool) {
    File file;
    char full[sizeof STORAGE + sizeof file.open_->path];
    path += path[0] == '/';
    if (strlen(path) + 2 > sizeof file.open_->path) {
        printf("FS: the name %s is too long\n", path);
        return file;
    }
    snprintf(full, sizeof full, "%s%s", STORAGE, path);
    int fd = ::open(full, flags_of(mode), 0600);
    if (fd >= 0) {
        file.open_ = new File::Open{fd, 1, {}};
        snprintf(file.open_->path, sizeof file.open_->path, "/%s", path);
    }
    return file;
}

File::File(const File &other) : open_(other.open_) {
    _timeout = other._timeout;
    if (open_) {
        open_->users++;
    }
}

File &File::operator=(const File &other) {
    if (other.open_) {
        other.open_->users++;
    }
    leave();
    open_ = other.open_;
    return *this;
}

void File::close() {
    if (*this) {
        ::close(open_->fd);
        open_->fd = -1;
    }
}

void File::leave() {
    if (open_ && !--open_->users) {
        close();
        delete open_;
    }
    open_ = nullptr;
}

static size_t counted(int count) { return count < 0 ? 0 : (size_t)count; }

size_t File::write(const uint8_t *data, size_t size) { return *this ? counted((int)::write(open_->fd, data, size)) : 0; }

size_t File::read(uint8_t *out, size_t size) { return *this ? counted((int)::read(open_->fd, out, size)) : 0; }

int File::read() {
    uint8_t c;
    return read(&c, 1) ? c : -1;
}

int File::peek() {
    int c = read();
    if (c >= 0) {
        lseek(open_->fd, -1, SEEK_CUR);
    }
    return c;
}

size_t File::position() const { return *this ? (size_t)lseek(open_->fd, 0, SEEK_CUR) : 0; }

size_t File::size() const {
    if (!*this) {
        return 0;
    }
    off_t place = lseek(open_->fd, 0, SEEK_CUR), end = lseek(open_->fd, 0, SEEK_END);
    lseek(open_->fd, place, SEEK_SET);
    return (size_t)end;
}

int File::available() { return (int)(size() - position()); }

bool File::seek(uint32_t place, SeekMode from) {
    static const int FROM[] = {SEEK_SET, SEEK_CUR, SEEK_END};
    return *this && lseek(open_->fd, (off_t)place, FROM[from]) >= 0;
}

void File::flush() {
    if (*this) {
        fsync(open_->fd);
    }
}
}
