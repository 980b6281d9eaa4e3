"""hvac against a running server: KV 2, policies, tokens, mounts, namespaces.

Takes VAULT_ADDR, VAULT_TOKEN and VAULT_CACERT; ends with 0 when every assertion held. It cleans up nothing:
each run gets a server of its own.
"""

import os
import time

import hvac
from hvac import exceptions

URL = os.environ["VAULT_ADDR"]
CA = os.environ.get("VAULT_CACERT") or True


def client(token=os.environ["VAULT_TOKEN"], namespace=None):
    return hvac.Client(url=URL, token=token, verify=CA, namespace=namespace, timeout=30)


def refused(error, call, *arguments, **named):
    """Asserts that the call raises exactly that error, and returns its text."""
    try:
        answer = call(*arguments, **named)
    except error as caught:
        assert type(caught) is error, f"{type(caught)} instead of {error}: {caught}"
        return str(caught)
    raise AssertionError(f"{call.__name__} was not refused: {answer}")


def server(root):
    assert root.is_authenticated()
    assert not client(token="s.AAAAAAAAAAAAAAAAAAAAAAAA").is_authenticated()
    assert root.sys.is_initialized() and not root.sys.is_sealed()
    status = root.sys.read_seal_status()
    assert status["initialized"] is True and status["sealed"] is False and status["progress"] == 0
    assert root.sys.read_health_status(method="HEAD").status_code == 200
    health = root.sys.read_health_status(method="GET")
    assert health["initialized"] is True and health["standby"] is False
    assert "ha_enabled" in root.sys.read_leader_status()


def mounts(root):
    root.sys.enable_secrets_engine("kv", path="team", description="main", options={"version": "2"})
    listed = root.sys.list_mounted_secrets_engines()["data"]
    assert listed["team/"]["type"] == "kv" and listed["team/"]["options"] == {"version": "2"}
    assert listed["team/"]["description"] == "main"
    assert listed["sys/"]["type"] == "system"
    refused(exceptions.InvalidRequest, root.sys.enable_secrets_engine, "kv-v2", path="team")
    root.sys.tune_mount_configuration("team", default_lease_ttl="1h", max_lease_ttl="2h", description="other")
    tuned = root.sys.read_mount_configuration("team")["data"]
    assert (tuned["default_lease_ttl"], tuned["max_lease_ttl"]) == (3600, 7200), tuned
    root.sys.enable_secrets_engine("kv-v2", path="short")
    root.sys.disable_secrets_engine("short")
    assert "short/" not in root.sys.list_mounted_secrets_engines()["data"]
    assert root.sys.list_auth_methods()["data"]["token/"]["type"] == "token"


def remount(root):
    root.sys.enable_secrets_engine("kv", path="moving", options={"version": "2"})
    moved = root.sys.move_backend("moving", "moved")
    assert moved["data"]["migration_id"]
    deadline = time.monotonic() + 30
    while "moved/" not in root.sys.list_mounted_secrets_engines()["data"]:
        assert time.monotonic() < deadline, "the mount did not move"
        time.sleep(0.05)


def kv2_values(root):
    kv = root.secrets.kv.v2
    first = kv.create_or_update_secret("app/db", {"user": "a", "pass": "b"}, mount_point="team")["data"]
    assert first["version"] == 1 and first["destroyed"] is False and first["deletion_time"] == ""
    second = kv.create_or_update_secret("app/db", {"user": "a", "n": [1, {"x": None}]}, cas=1, mount_point="team")["data"]
    assert second["version"] == 2
    text = refused(exceptions.InvalidRequest, kv.create_or_update_secret, "app/db", {"x": "y"}, cas=1, mount_point="team")
    assert "check-and-set parameter did not match the current version" in text
    read = kv.read_secret_version("app/db", mount_point="team", raise_on_deleted_version=True)
    assert read["data"]["data"] == {"user": "a", "n": [1, {"x": None}]}
    assert read["data"]["metadata"]["version"] == 2
    for key in ["request_id", "lease_id", "renewable", "lease_duration", "wrap_info", "warnings", "auth"]:
        assert key in read, key
    old = kv.read_secret_version("app/db", version=1, mount_point="team", raise_on_deleted_version=True)
    assert old["data"]["data"]["pass"] == "b"
    refused(exceptions.InvalidPath, kv.read_secret_version, "app/none", mount_point="team", raise_on_deleted_version=True)
    patched = kv.patch("app/db", {"pass": "c"}, mount_point="team")["data"]
    assert patched["version"] == 3
    refused(exceptions.InvalidPath, kv.patch, "app/none", {"pass": "c"}, mount_point="team")
    kv.create_or_update_secret("app/other", {"k": "ünïcode ☃ \u0000 \" \\"}, mount_point="team")
    other = kv.read_secret_version("app/other", mount_point="team", raise_on_deleted_version=True)
    assert other["data"]["data"]["k"] == "ünïcode ☃ \u0000 \" \\"
    assert kv.list_secrets("app", mount_point="team")["data"]["keys"] == ["db", "other"]
    assert kv.list_secrets("", mount_point="team")["data"]["keys"] == ["app/"]
    refused(exceptions.InvalidPath, kv.list_secrets, "none", mount_point="team")


def kv2_versions(root):
    kv = root.secrets.kv.v2
    kv.delete_latest_version_of_secret("app/db", mount_point="team")
    refused(exceptions.InvalidPath, kv.read_secret_version, "app/db", mount_point="team", raise_on_deleted_version=True)
    gone = kv.read_secret_version("app/db", mount_point="team", raise_on_deleted_version=False)["data"]
    assert gone["data"] is None and gone["metadata"]["deletion_time"] != "" and gone["metadata"]["version"] == 3
    kv.undelete_secret_versions("app/db", versions=[3], mount_point="team")
    assert kv.read_secret_version("app/db", mount_point="team", raise_on_deleted_version=True)["data"]["data"]["pass"] == "c"
    kv.delete_secret_versions("app/db", versions=[1, 2], mount_point="team")
    kv.destroy_secret_versions("app/db", versions=[1], mount_point="team")
    versions = kv.read_secret_metadata("app/db", mount_point="team")["data"]["versions"]
    assert versions["1"]["destroyed"] is True and versions["2"]["destroyed"] is False
    assert versions["2"]["deletion_time"] != "" and versions["3"]["deletion_time"] == ""


def kv2_metadata(root):
    kv = root.secrets.kv.v2
    settings = {"max_versions": 5, "cas_required": True, "delete_version_after": "24h", "custom_metadata": {"owner": "x"}}
    kv.update_metadata("app/db", mount_point="team", **settings)
    read = kv.read_secret_metadata("app/db", mount_point="team")["data"]
    assert (read["max_versions"], read["cas_required"], read["delete_version_after"]) == (5, True, "24h0m0s")
    assert read["custom_metadata"] == {"owner": "x"} and read["current_version"] == 3 and read["oldest_version"] == 0
    text = refused(exceptions.InvalidRequest, kv.create_or_update_secret, "app/db", {"x": "y"}, mount_point="team")
    assert "check-and-set parameter required for this call" in text
    kv.delete_metadata_and_all_versions("app/db", mount_point="team")
    refused(exceptions.InvalidPath, kv.read_secret_metadata, "app/db", mount_point="team")
    kv.configure(max_versions=7, cas_required=False, delete_version_after="0s", mount_point="team")
    config = kv.read_configuration(mount_point="team")["data"]
    assert (config["max_versions"], config["cas_required"], config["delete_version_after"]) == (7, False, "0s")


def policies(root):
    text = 'path "team/data/app/*" { capabilities = ["create", "read", "update"] }'
    root.sys.create_or_update_policy("dev", text)
    listed = root.sys.list_policies()["data"]
    assert {"default", "dev", "root"} <= set(listed["policies"]) and listed["policies"] == listed["keys"]
    read = root.sys.read_policy("dev")["data"]
    assert read["name"] == "dev" and read["rules"] == text
    root.sys.create_or_update_acl_policy("dev2", text)
    assert "dev2" in root.sys.list_acl_policies()["data"]["keys"]
    acl = root.sys.read_acl_policy("dev2")["data"]
    assert acl["name"] == "dev2" and acl["policy"] == text
    root.sys.delete_acl_policy("dev2")
    refused(exceptions.InvalidPath, root.sys.read_acl_policy, "dev2")
    refused(exceptions.InvalidRequest, root.sys.create_or_update_policy, "bad", 'path "x" { capabilities = ["nonsense"] }')
    refused(exceptions.InvalidRequest, root.sys.delete_policy, "root")


def tokens(root):
    token = root.auth.token
    made = token.create(policies=["dev"], ttl="30m", display_name="x", meta={"k": "v"})["auth"]
    assert sorted(made["policies"]) == ["default", "dev"] and made["lease_duration"] == 1800
    assert made["renewable"] is True and made["metadata"] == {"k": "v"}
    holder = client(made["client_token"])
    own = holder.auth.token.lookup_self()["data"]
    assert own["id"] == made["client_token"] and own["accessor"] == made["accessor"] and own["type"] == "service"
    assert own["display_name"] == "token-x" and 0 < own["ttl"] <= 1800 and own["meta"] == {"k": "v"}
    assert token.lookup(made["client_token"])["data"]["accessor"] == made["accessor"]
    by_accessor = token.lookup_accessor(made["accessor"])["data"]
    assert by_accessor["id"] == "" and by_accessor["accessor"] == made["accessor"]
    assert made["accessor"] in token.list_accessors()["data"]["keys"]
    refused(exceptions.Forbidden, token.lookup, "s.AAAAAAAAAAAAAAAAAAAAAAAA")

    holder.secrets.kv.v2.create_or_update_secret("app/new", {"a": 1}, mount_point="team")
    refused(exceptions.Forbidden, holder.secrets.kv.v2.create_or_update_secret, "else", {"a": 1}, mount_point="team")
    refused(exceptions.Forbidden, holder.sys.list_mounted_secrets_engines)
    paths = ["team/data/app/x", "team/data/else"]
    rights = holder.sys.get_capabilities(paths=paths)["data"]
    assert rights[paths[0]] == ["create", "read", "update"] and rights[paths[1]] == ["deny"]
    assert root.sys.get_capabilities(paths=["x"])["capabilities"] == ["root"]

    assert holder.auth.token.renew_self(increment="10m")["auth"]["lease_duration"] == 600
    assert token.renew(made["client_token"], increment=900)["auth"]["lease_duration"] == 900
    token.renew_accessor(made["accessor"])
    token.revoke_accessor(made["accessor"])
    assert not holder.is_authenticated()
    refused(exceptions.Forbidden, holder.auth.token.lookup_self)

    parent = token.create(policies=["root"])["auth"]["client_token"]
    child = client(parent).auth.token.create(policies=["default"])["auth"]["client_token"]
    orphan = client(parent).auth.token.create_orphan(policies=["default"])["auth"]["client_token"]
    token.revoke(parent)
    assert not client(child).is_authenticated() and client(orphan).is_authenticated()
    client(orphan).auth.token.revoke_self()
    assert not client(orphan).is_authenticated()


def namespaces(root):
    made = root.sys.create_namespace("team1")
    assert made["data"]["path"] == "team1/"
    root.sys.create_namespace("team2")
    assert sorted(root.sys.list_namespaces()["data"]["keys"]) == ["team1/", "team2/"]
    one, two = client(namespace="team1"), client(namespace="team2")
    for tenant, value in [(one, "one"), (two, "two")]:
        tenant.sys.enable_secrets_engine("kv", path="kv", options={"version": "2"})
        tenant.secrets.kv.v2.create_or_update_secret("x", {"v": value}, mount_point="kv")
    for tenant, value in [(one, "one"), (two, "two")]:
        read = tenant.secrets.kv.v2.read_secret_version("x", mount_point="kv", raise_on_deleted_version=True)
        assert read["data"]["data"] == {"v": value}
    one.sys.create_or_update_policy("all", 'path "*" { capabilities = ["read", "list", "create", "update"] }')
    token = one.auth.token.create(policies=["all"])["auth"]["client_token"]
    inside, outside = client(token, "team1"), client(token, "team2")
    assert inside.secrets.kv.v2.list_secrets("", mount_point="kv")["data"]["keys"] == ["x"]
    refused(exceptions.Forbidden, outside.secrets.kv.v2.list_secrets, "", mount_point="kv")
    root.sys.delete_namespace("team2")
    deadline = time.monotonic() + 30
    while "team2/" in root.sys.list_namespaces()["data"]["keys"]:
        assert time.monotonic() < deadline, "the namespace did not go"
        time.sleep(0.05)


def main():
    root = client()
    for step in [server, mounts, remount, kv2_values, kv2_versions, kv2_metadata, policies, tokens, namespaces]:
        print(step.__name__, flush=True)
        step(root)


if __name__ == "__main__":
    main()
