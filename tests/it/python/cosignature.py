"""Checks that a witness has cosigned a checkpoint: `cosignature.py NOTE VKEY`, with nothing of this project.

As C2SP's tlog-cosignature says for Ed25519. Prints origin, size and time. Needs the package `cryptography`.
"""

import base64
import hashlib
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def main(file, vkey):
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    assert key[0] == 4 and len(key) == 33, "a cosigner's Ed25519 key"
    assert hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() == key_id
    text, signatures = pathlib.Path(file).read_bytes().decode().rsplit("\n\n", 1)
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if dash == "\u2014" and signer == name and signature[:4].hex() == key_id:
            assert len(signature) == 4 + 8 + 64
            time = int.from_bytes(signature[4:12], "big")
            message = f"cosignature/v1\ntime {time}\n{text}\n".encode()
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[12:], message)
            origin, size, _ = text.split("\n")
            print(origin, size, time)
            return
    sys.exit("not cosigned")


main(*sys.argv[1:])
