"""Opens a LUKS2 image with the key on stdin, by dissect's own implementation, and finds a text in its ext4 files."""

import sys

from dissect.extfs import ExtFS
from dissect.fve.luks import LUKS


def files(node, path=""):
    for name, child in node.listdir().items():
        if name in (".", ".."):
            continue
        if child.filetype == 0x4000:
            yield from files(child, f"{path}/{name}")
        elif child.filetype == 0x8000:
            yield f"{path}/{name}", child


def main():
    image, wanted = sys.argv[1], sys.argv[2].encode()
    with open(image, "rb") as raw:
        volume = LUKS(raw)
        volume.unlock_with_passphrase(sys.stdin.buffer.read().strip(), keyslot=0)
        filesystem = ExtFS(volume.open())
        for path, node in files(filesystem.get("/data"), "/data"):
            if wanted in node.open().read():
                print(path)
                return 0
    print(f"{sys.argv[2]} is in no file below /data", file=sys.stderr)
    return 1


sys.exit(main())
