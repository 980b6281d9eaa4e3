"""Checks a copy of an audit log with nothing of this project: `audit_copy.py FOLDER KEY [WITNESS ..]`.

With keys of witnesses: that all of them have cosigned the whole of it.

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


def cosigned(note, vkey):
    """Whether a witness has cosigned a note, as C2SP's tlog-cosignature says."""
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    assert key[0] == 4, "a cosigner's Ed25519 key"
    text, signatures = note.rsplit("\n\n", 1)
    for line in signatures.splitlines():
        _, signer, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if signer == name and signature[:4].hex() == key_id:
            time = int.from_bytes(signature[4:12], "big")
            message = f"cosignature/v1\ntime {time}\n{text}\n".encode()
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[12:], message)
            return True
    return False


def leads_to(leaf, index, size, path):
    """The root that an inclusion proof leads to, as RFC 9162 section 2.1.3.2 says."""
    node, last = index, size - 1
    for sibling in path:
        assert last > 0
        if node & 1 or node == last:
            leaf = sha256(b"\x01", sibling, leaf)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            leaf = sha256(b"\x01", leaf, sibling)
        node, last = node >> 1, last >> 1
    assert last == 0
    return leaf


def witnessed(folder, vkey, size, signed_root, witnesses):
    """The copy's tree is a leaf of the deployment's log, which the log's key signed and all witnesses cosigned."""
    head, note = (folder / "witnessed" / str(size)).read_text().split("\n\n", 1)
    form, extra, index, *path = head.split("\n")
    assert form == "c2sp.org/tlog-proof@v1"
    entry = base64.b64decode(extra.removeprefix("extra "), validate=True)
    assert entry.decode().splitlines() == [vkey.split("+")[0], str(size), signed_root]
    origin = note.split("\n")[0]
    deployment, _, _ = vkey.split("+")[0].rsplit("/", 2)
    assert origin.startswith(deployment + "/") and "/" not in origin[len(deployment) + 1 :]
    key = base64.b64decode(vkey.split("+", 2)[2], validate=True)
    key_id = sha256(origin.encode(), b"\n", key)[:4].hex()
    named = f"{origin}+{key_id}+{base64.b64encode(key).decode()}"
    _, heads, heads_root = open_note(note.encode(), named)[:3]
    hashes = [base64.b64decode(line, validate=True) for line in path]
    found = leads_to(sha256(b"\x00", entry), int(index.removeprefix("index ")), int(heads), hashes)
    assert found == base64.b64decode(heads_root, validate=True), "not in the deployment's log"
    assert all(cosigned(note, witness) for witness in witnesses), "not cosigned"
    print(f"witnessed by {len(witnesses)}")


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
    if origin.count("/") == 2:
        # The log of a deployment: its entries are heads of logs.
        assert all(event.decode().startswith(origin.rsplit("/", 1)[0] + "/") for event in events)
    else:
        assert all(json.loads(event)["v"] == 1 for event in events)
    hashes = [sha256(b"\x00", event) for event in events]
    assert root(hashes) == base64.b64decode(signed_root, validate=True), "another root"
    level = 0
    while hashes:
        for index, path in tiles(level, len(hashes)):
            assert (folder / path).read_bytes() == b"".join(hashes[256 * index : 256 * index + 256]), path
        hashes = [root(hashes[at : at + 256]) for at in range(0, len(hashes) - 255, 256)]
        level += 1
    if sys.argv[3:]:
        witnessed(folder, vkey, size, signed_root, sys.argv[3:])
    print(f"{size} events verified")


main()
