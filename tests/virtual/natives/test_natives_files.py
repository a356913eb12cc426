"""Files under /storage: WASI open flags, offsets, the size limit, and no way out of the directory."""

from __future__ import annotations

from pathlib import Path

from tests.virtual.natives.conftest import CBench

from microclaw.virtual.filesystem import BLOCK_BYTES
from microclaw.virtual.runtime.descriptors import STORAGE_BYTES

EXTRA = """
#define CREAT (1 << 12)
#define EXCL (1 << 14)
#define TRUNC (1 << 15)
#define APPEND 1
int pread(int, void *, size_t, int); int pwrite(int, const void *, size_t, int); int fsync(int);
        int fcntl(int, int, int);
int fstat(int, void *);
"""


def test_files_are_written_read_and_sought(bench: CBench, tmp_path: Path) -> None:
    bench.run(
        EXTRA
        + """void on_init(void) { char b[16] = ""; int f = open("/storage/hello.txt", RW | CREAT, 0666);
        printf("%d %d", write(f, "hello", 5), (int)lseek(f, 1, 0)); printf(" %d %s", read(f, b, 3), b);
        printf(" %d", (int)lseek(f, -1, 2)); printf(" %d %d", pwrite(f, "J", 1, 0), pread(f, b, 15, 0));
        printf(" %s", b);
        printf(" %d %d %d\\n", fsync(f), close(f), close(f)); }"""
    )
    assert bench.lines() == ["5 1 3 ell 4 1 5 Jello 0 0 -1"]
    assert (tmp_path / "storage" / "hello.txt").read_bytes() == b"Jello"


def test_open_flags_are_wasi_s(bench: CBench, tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "a").write_bytes(b"12345")
    bench.run(
        EXTRA
        + """void on_init(void) { char b[8]; printf("%d", open("/storage/none", RW, 0));
        printf(" %d", open("/storage/a", RW | CREAT | EXCL, 0)); int r = open("/storage/a", RD, 0);
        printf(" %d", write(r, "x", 1));
        int w = open("/storage/a", WR, 0); printf(" %d", read(w, b, 1)); int p = open("/storage/a", WR | APPEND, 0);
        write(p, "6", 1);
        printf(" %d", read(r, b, 8)); open("/storage/a", WR | TRUNC, 0); printf(" %d\\n", (int)lseek(r, 0, 2)); }"""
    )
    assert bench.lines() == ["-1 -1 -1 -1 6 0"]


PATHS = (
    *("/storage/../outside", "/storage/link", "/storage/dir/x", "/etc/passwd", "storage/a", "/storage", "/storage/"),
    *("", "/dev", "/dev/null"),
)


def test_no_path_leads_out_of_storage(bench: CBench, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "x").write_bytes(b"secret")
    (storage / "link").symlink_to(tmp_path / "outside")
    (storage / "dir").symlink_to(tmp_path)
    tries = "".join(f'printf("%d %d\\n", open("{path}", RD, 0), open("{path}", RW | CREAT, 0));' for path in PATHS)
    bench.run(f"{EXTRA}void on_init(void) {{ {tries} }}")
    assert dict(zip(PATHS, bench.lines(), strict=True)) == dict.fromkeys(PATHS, "-1 -1")
    assert (tmp_path / "outside").read_bytes() == b"secret"


def test_storage_has_a_size(bench: CBench, tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "big").write_bytes(bytes(STORAGE_BYTES - BLOCK_BYTES))
    bench.run(
        EXTRA
        + """void on_init(void) { int f = open("/storage/a", RW | CREAT, 0); printf("%d", write(f, "0123456789", 10));
        lseek(f, 4096, 0); printf(" %d", write(f, "x", 1)); lseek(f, 0, 0); printf(" %d\\n", write(f, "y", 1)); }"""
    )
    assert bench.lines() == ["10 -1 1"]


def test_files_outlive_a_power_cut(bench: CBench) -> None:
    source = (
        EXTRA
        + """void on_init(void) { int f = open("/storage/n", RW | CREAT, 0); printf("%d\\n", (int)lseek(f, 0, 2));
        write(f, "x", 1); }"""
    )
    bench.run(source)
    bench.board.reset()
    bench.run(source)
    assert bench.lines() == ["0", "1"]
