"""hvac against a running server: token roles, batch tokens, leases. Called as `hvac_core.py` is."""

from hvac import exceptions

from hvac_core import client, refused


def roles(root):
    tokens = root.auth.token
    tokens.create_or_update_role("app", allowed_policies="default", orphan=True, renewable=True, token_period="1h")
    role = tokens.read_role("app")["data"]
    assert (role["name"], role["orphan"], role["token_period"]) == ("app", True, 3600), role
    assert tokens.list_roles()["data"]["keys"] == ["app"]
    made = tokens.create(role_name="app")["auth"]
    assert made["orphan"] and made["policies"] == ["default"] and made["lease_duration"] == 3600, made
    assert client(made["client_token"]).lookup_token()["data"]["role"] == "app"
    assert "must be subset" in refused(exceptions.InvalidRequest, tokens.create, role_name="app", policies=["x"])
    tokens.delete_role("app")
    refused(exceptions.InvalidPath, tokens.read_role, "app")


def batch(root):
    made = root.auth.token.create(policies=["default"], type="batch", ttl="1h")["auth"]
    assert made["token_type"] == "batch" and made["accessor"] == "" and not made["renewable"], made
    holder = client(made["client_token"])
    assert holder.lookup_token()["data"]["type"] == "batch"
    assert "cannot be renewed" in refused(exceptions.InvalidRequest, holder.auth.token.renew_self)
    assert "cannot be revoked" in refused(exceptions.InvalidRequest, holder.auth.token.revoke_self)
    parent = root.auth.token.create(policies=["root"], ttl="1h")["auth"]["client_token"]
    child = client(parent).auth.token.create(policies=["default"], type="batch")["auth"]["client_token"]
    root.auth.token.revoke(parent)
    refused(exceptions.Forbidden, client(child).lookup_token)


def leases(root):
    root.auth.token.create_or_update_role("l", allowed_policies="default")
    made = root.auth.token.create(role_name="l")["auth"]["client_token"]
    prefix = "auth/token/create/l"
    (name,) = root.sys.list_leases(prefix)["data"]["keys"]
    lease = root.sys.read_lease(f"{prefix}/{name}")["data"]
    assert lease["id"] == f"{prefix}/{name}" and lease["path"] == prefix and lease["ttl"] > 0, lease
    assert "invalid lease" in refused(exceptions.InvalidRequest, root.sys.read_lease, f"{prefix}/x")
    refused(exceptions.InvalidRequest, root.sys.renew_lease, f"{prefix}/{name}")
    root.sys.revoke_lease(f"{prefix}/{name}")
    refused(exceptions.Forbidden, client(made).lookup_token)
    made = root.auth.token.create(role_name="l")["auth"]["client_token"]
    root.sys.revoke_prefix(prefix)
    made_later = root.auth.token.create(role_name="l")["auth"]["client_token"]
    assert client(made_later).is_authenticated()
    root.auth.token.tidy()


def main():
    root = client()
    for step in [roles, batch, leases]:
        print(step.__name__, flush=True)
        step(root)


if __name__ == "__main__":
    main()
