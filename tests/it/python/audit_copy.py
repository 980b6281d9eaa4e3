"""Checks a copy of an audit log with nothing of this project: `audit_copy.py FOLDER KEY`.

Signed notes, checkpoints and tiles as C2SP's signed-note, tlog-checkpoint and tlog-tiles say, the tree as RFC 6962 section 2.1
says. Needs the package `cryptography` for Ed25519.
"""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def root(leaves):
    """MTH of RFC 6962."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01", root(leaves[:half]), root(leaves[half:]))


def open_note(note, vkey):
    """The lines of a note that the key has signed."""
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    assert key[0] == 1, "Ed25519"
    assert sha256(name.encode(), b"\n", key)[:4].hex() == key_id
    text, signatures = note.decode().rsplit("\n\n", 1)
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if dash == "\u2014" and signer == name and signature[:4].hex() == key_id:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text.encode())
            return text.splitlines()
    raise AssertionError("not signed by this key")


def tile_path(level, index, width):
    name = f"{index % 1000:03}"
    while index >= 1000:
        index //= 1000
        name = f"x{index % 1000:03}/{name}"
    return f"tile/{level}/{name}" + ("" if width == 256 else f".p/{width}")


def tiles(level, count):
    for index in range((count + 255) // 256):
        yield index, tile_path(level, index, min(256, count - 256 * index))


def entries(folder, size):
    for _, path in tiles("entries", size):
        bundle = (folder / path).read_bytes()
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            entry, bundle = bundle[2 : 2 + length], bundle[2 + length :]
            # Too long for a bundle: its leaf hash is there instead.
            yield (folder / "large" / entry.hex()).read_bytes() if length == 32 else entry


def main():
    folder, vkey = pathlib.Path(sys.argv[1]), sys.argv[2]
    origin, size, signed_root = open_note((folder / "checkpoint").read_bytes(), vkey)[:3]
    assert origin == vkey.split("+")[0]
    size = int(size)
    events = list(entries(folder, size))
    assert len(events) == size, f"{len(events)} events, {size} signed"
    assert all(json.loads(event)["v"] == 1 for event in events)
    hashes = [sha256(b"\x00", event) for event in events]
    assert root(hashes) == base64.b64decode(signed_root, validate=True), "another root"
    level = 0
    while hashes:
        for index, path in tiles(level, len(hashes)):
            assert (folder / path).read_bytes() == b"".join(hashes[256 * index : 256 * index + 256]), path
        hashes = [root(hashes[at : at + 256]) for at in range(0, len(hashes) - 255, 256)]
        level += 1
    print(f"{size} events verified")


main()
