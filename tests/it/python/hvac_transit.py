"""hvac's Transit calls against a running server. Called as `hvac_core.py` is."""

import base64

from hvac import exceptions

from hvac_core import client, refused

TEXT = base64.b64encode(b"hello").decode()
CONTEXT = base64.b64encode(b"context").decode()


def keys(transit):
    transit.create_key("orders")
    transit.create_key("derived", derived=True, convergent_encryption=True)
    transit.create_key("signer", key_type="ecdsa-p256", exportable=True, allow_plaintext_backup=True)
    assert transit.list_keys()["data"]["keys"] == ["derived", "orders", "signer"]
    shown = transit.read_key("orders")["data"]
    assert shown["type"] == "aes256-gcm96" and shown["latest_version"] == 1 and list(shown["keys"]) == ["1"]
    transit.rotate_key("orders")
    transit.update_key_configuration("orders", min_decryption_version=1, deletion_allowed=True)
    assert transit.read_key("orders")["data"]["deletion_allowed"] is True


def encryption(transit):
    sealed = transit.encrypt_data("orders", plaintext=TEXT)["data"]["ciphertext"]
    assert sealed.startswith("vault:v2:")
    assert transit.decrypt_data("orders", ciphertext=sealed)["data"]["plaintext"] == TEXT
    assert transit.rewrap_data("orders", ciphertext=sealed)["data"]["ciphertext"] != sealed
    one = transit.encrypt_data("derived", plaintext=TEXT, context=CONTEXT)["data"]["ciphertext"]
    assert one == transit.encrypt_data("derived", plaintext=TEXT, context=CONTEXT)["data"]["ciphertext"]
    assert transit.decrypt_data("derived", ciphertext=one, context=CONTEXT)["data"]["plaintext"] == TEXT
    batch = transit.encrypt_data("orders", batch_input=[{"plaintext": TEXT}] * 3)["data"]["batch_results"]
    opened = transit.decrypt_data("orders", batch_input=[{"ciphertext": item["ciphertext"]} for item in batch])
    assert [item["plaintext"] for item in opened["data"]["batch_results"]] == [TEXT] * 3
    refused(exceptions.InvalidRequest, transit.decrypt_data, "orders", ciphertext="vault:v1:AAAA")
    made = transit.generate_data_key("orders", key_type="plaintext")["data"]
    assert transit.decrypt_data("orders", ciphertext=made["ciphertext"])["data"]["plaintext"] == made["plaintext"]


def signatures(transit):
    signed = transit.sign_data("signer", hash_input=TEXT)["data"]["signature"]
    assert transit.verify_signed_data("signer", hash_input=TEXT, signature=signed)["data"]["valid"] is True
    assert transit.verify_signed_data("signer", hash_input=CONTEXT, signature=signed)["data"]["valid"] is False
    mac = transit.generate_hmac("orders", hash_input=TEXT)["data"]["hmac"]
    assert transit.verify_signed_data("orders", hash_input=TEXT, hmac=mac)["data"]["valid"] is True


def material(transit):
    assert "PRIVATE KEY" in transit.export_key("signer", key_type="signing-key")["data"]["keys"]["1"]
    backup = transit.backup_key("signer")["data"]["backup"]
    transit.restore_key(backup, name="copy")
    assert transit.read_key("copy")["data"]["keys"] == transit.read_key("signer")["data"]["keys"]
    assert len(transit.generate_random_bytes(n_bytes=16)["data"]["random_bytes"]) == 24
    summed = transit.hash_data(hash_input=TEXT, algorithm="sha2-256")["data"]["sum"]
    assert summed == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    transit.delete_key("orders")
    refused(exceptions.InvalidPath, transit.read_key, "orders")


def main():
    root = client()
    root.sys.enable_secrets_engine("transit")
    for step in [keys, encryption, signatures, material]:
        print(step.__name__, flush=True)
        step(root.secrets.transit)


if __name__ == "__main__":
    main()
