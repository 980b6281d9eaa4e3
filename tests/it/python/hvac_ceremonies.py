"""hvac's calls for key ceremonies, on a listener that offers the forms without a token."""

import base64
import os

import hvac

client = hvac.Client(url=os.environ["VAULT_ADDR"], verify=os.environ.get("VAULT_CACERT", True))
init = client.sys.initialize(secret_shares=3, secret_threshold=2)
client.token = init["root_token"]
keys = init["keys"]
client.sys.submit_unseal_keys(keys[:2])
assert not client.sys.is_sealed()

assert client.sys.get_encryption_key_status()["data"]["term"] == 1
client.sys.rotate_encryption_key()
assert client.sys.get_encryption_key_status()["data"]["term"] == 2

assert client.sys.read_root_generation_progress()["started"] is False
begun = client.sys.start_root_token_generation()
otp, nonce = begun["otp"], begun["nonce"]
client.sys.cancel_root_generation()
assert client.sys.read_root_generation_progress()["started"] is False
begun = client.sys.start_root_token_generation()
otp, nonce = begun["otp"], begun["nonce"]
client.sys.generate_root(key=keys[0], nonce=nonce)
assert client.sys.read_root_generation_progress()["progress"] == 1
done = client.sys.generate_root(key=keys[2], nonce=nonce)
assert done["complete"]
encoded = done["encoded_root_token"]
hidden = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
token = bytes(a ^ b for a, b in zip(hidden, otp.encode())).decode()
other = hvac.Client(url=client.url, verify=os.environ.get("VAULT_CACERT", True), token=token)
assert other.is_authenticated()

assert client.sys.read_rekey_progress()["started"] is False
started = client.sys.start_rekey(secret_shares=3, secret_threshold=2)
client.sys.cancel_rekey()
assert client.sys.read_rekey_progress()["started"] is False
started = client.sys.start_rekey(secret_shares=2, secret_threshold=2)
try:
    client.sys.rekey(key=keys[0], nonce="not-this-one")
    raise SystemExit("a wrong nonce was taken")
except hvac.exceptions.InvalidRequest as error:
    assert "nonce" in str(error)
done = client.sys.rekey_multi(keys[:2], nonce=started["nonce"])
assert done["complete"] and len(done["keys"]) == 2
client.sys.seal()
client.sys.submit_unseal_keys(done["keys"])
assert not client.sys.is_sealed()
