"""hvac against a running server: KV 1 and the cubbyhole. Called as `hvac_core.py` is."""

from hvac import exceptions

from hvac_core import client, refused


def kv1(root):
    root.sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
    kv = root.secrets.kv.v1
    kv.create_or_update_secret("a/b", {"x": "1", "deep": {"n": 1}}, mount_point="old")
    read = kv.read_secret("a/b", mount_point="old")
    assert read["data"] == {"x": "1", "deep": {"n": 1}} and read["lease_duration"] > 0
    assert kv.list_secrets("a", mount_point="old")["data"]["keys"] == ["b"]
    kv.delete_secret("a/b", mount_point="old")
    refused(exceptions.InvalidPath, kv.read_secret, "a/b", mount_point="old")


def cubbyhole(root):
    root.write("cubbyhole/x", a="b")
    assert root.read("cubbyhole/x")["data"] == {"a": "b"}
    assert root.list("cubbyhole")["data"]["keys"] == ["x"]
    root.delete("cubbyhole/x")
    assert root.read("cubbyhole/x") is None


def main():
    root = client()
    for step in [kv1, cubbyhole]:
        print(step.__name__, flush=True)
        step(root)


if __name__ == "__main__":
    main()
