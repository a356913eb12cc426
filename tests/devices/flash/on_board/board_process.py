"""Runs in MicroPython's unix port: the interpreter of a simulated board, on littlefs in a file as boards have it.

    micropython board_process.py IMAGE MODULES raw|main

`raw`: code comes on stdin (4 bytes of length, then it) and is run; its output, 0x04, its traceback and 0x04 go back.
`main`: main.py is run as after a reset.
"""

# ruff: noqa
import os
import sys
import vfs

BLOCK = 4096
image, modules, mode = sys.argv[1:4]


class Flash:
    def __init__(self, path):
        self.file = open(path, "r+b")
        self.blocks = self.file.seek(0, 2) // BLOCK

    def readblocks(self, block, data, offset=0):
        self.file.seek(block * BLOCK + offset)
        self.file.readinto(data)

    def writeblocks(self, block, data, offset=None):
        if offset is None:
            self.ioctl(6, block)
            offset = 0
        self.file.seek(block * BLOCK + offset)
        self.file.write(data)
        self.file.flush()

    def ioctl(self, op, argument):
        if op == 4:
            return self.blocks
        if op == 5:
            return BLOCK
        if op == 6:
            self.file.seek(argument * BLOCK)
            self.file.write(b"\xff" * BLOCK)
            return 0


sys.path += modules.split(":")
import machine, network, esp32  # before the machine's own files are out of sight

flash = Flash(image)
try:
    system = vfs.VfsLfs2(flash)
except OSError:
    vfs.VfsLfs2.mkfs(flash)  # as the image's inisetup.py does on an empty flash
    system = vfs.VfsLfs2(flash)
vfs.umount("/")
vfs.mount(system, "/")
if "boot.py" not in os.listdir("/"):
    with open("/boot.py", "w") as file:
        file.write("# This file is executed on every boot (including wake-boot from deepsleep)\n")
sys.path[:] = ["/", "/lib", ".frozen"]
os.chdir("/")
space = {"__name__": "__main__"}
if mode == "main":
    with open("/main.py") as file:
        code = file.read()
    exec(compile(code, "main.py", "exec"), space)
else:
    source = sys.stdin.buffer
    out = sys.stdout.buffer
    while True:
        head = source.read(4)
        if len(head) < 4:
            break
        code = source.read(int.from_bytes(head, "little"))
        try:
            exec(compile(code.decode(), "<stdin>", "exec"), space)
            out.write(b"\x04\x04")
        except SystemExit:  # machine.reset()
            break
        except BaseException as exc:
            out.write(b"\x04")
            sys.print_exception(exc, sys.stdout)
            out.write(b"\x04")
