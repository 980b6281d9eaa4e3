"""hvac against a running server: KV 1, the cubbyhole, response wrapping. Called as `hvac_core.py` is."""

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


def wrapping(root):
    wrapped = root.sys.wrap({"x": "1", "deep": {"n": [1]}}, ttl=60)["wrap_info"]
    assert wrapped["ttl"] == 60 and wrapped["creation_path"] == "sys/wrapping/wrap"
    assert root.sys.unwrap(wrapped["token"])["data"] == {"x": "1", "deep": {"n": [1]}}
    said = refused(exceptions.InvalidRequest, root.sys.unwrap, wrapped["token"])
    assert "wrapping token is not valid or does not exist" in said

    wrapped = root.auth.token.create(policies=["default"], wrap_ttl="5m")["wrap_info"]
    made = client(token=wrapped["token"]).sys.unwrap()["auth"]
    assert made["accessor"] == wrapped["wrapped_accessor"] and made["policies"] == ["default"]
    assert client(token=made["client_token"]).is_authenticated()


def main():
    root = client()
    for step in [kv1, cubbyhole, wrapping]:
        print(step.__name__, flush=True)
        step(root)


if __name__ == "__main__":
    main()
