"""hvac against a running server: AppRole and userpass. Called as `hvac_core.py` is."""

from hvac import exceptions

from hvac_core import client, refused


def approle(root):
    root.sys.enable_auth_method("approle")
    auth = root.auth.approle
    auth.create_or_update_approle("web", token_policies=["default"], token_ttl="20m", secret_id_num_uses=4, secret_id_ttl="10m")
    role = auth.read_role("web")["data"]
    assert (role["token_ttl"], role["secret_id_num_uses"], role["secret_id_ttl"]) == (1200, 4, 600), role
    assert role["token_bound_cidrs"] == [] and role["token_policies"] == ["default"], role
    assert auth.list_roles()["data"]["keys"] == ["web"]
    auth.update_role_id("web", "web-role")
    assert auth.read_role_id("web")["data"]["role_id"] == "web-role"
    made = auth.generate_secret_id("web", metadata={"team": "blue"}, cidr_list=["127.0.0.1/32"])["data"]
    assert (made["secret_id_num_uses"], made["secret_id_ttl"]) == (4, 600), made
    found = auth.read_secret_id("web", made["secret_id"])["data"]
    assert (found["metadata"], found["cidr_list"]) == ({"team": "blue"}, ["127.0.0.1/32"]), found
    same = auth.read_secret_id_accessor("web", made["secret_id_accessor"])["data"]
    assert same["secret_id_accessor"] == made["secret_id_accessor"], same
    assert auth.list_secret_id_accessors("web")["data"]["keys"] == [made["secret_id_accessor"]]
    machine = client(token=None)
    login = machine.auth.approle.login(role_id="web-role", secret_id=made["secret_id"])["auth"]
    assert login["metadata"] == {"role_name": "web", "team": "blue"} and login["lease_duration"] == 1200, login
    assert machine.lookup_token()["data"]["display_name"] == "approle"
    assert machine.auth.token.renew_self()["auth"]["lease_duration"] == 1200
    assert auth.read_secret_id("web", made["secret_id"])["data"]["secret_id_num_uses"] == 3
    custom = auth.create_custom_secret_id("web", "custom-secret", metadata={"a": "b"})["data"]
    assert custom["secret_id"] == "custom-secret", custom
    wrapped = auth.generate_secret_id("web", wrap_ttl="1m")["wrap_info"]["token"]
    unwrapped = client(token=wrapped).sys.unwrap()["data"]["secret_id"]
    machine.auth.approle.login(role_id="web-role", secret_id=unwrapped)
    auth.destroy_secret_id("web", "custom-secret")
    auth.destroy_secret_id_accessor("web", made["secret_id_accessor"])
    stranger = client(token=None)
    for secret in [made["secret_id"], "custom-secret", "wrong"]:
        text = refused(exceptions.InvalidRequest, stranger.auth.approle.login, role_id="web-role", secret_id=secret)
        assert "invalid role or secret ID" in text, text
    auth.delete_role("web")
    refused(exceptions.InvalidPath, auth.read_role, "web")
    root.sys.disable_auth_method("approle")
    refused(exceptions.Forbidden, machine.lookup_token)


def userpass(root):
    root.sys.enable_auth_method("userpass")
    auth = root.auth.userpass
    auth.create_or_update_user("bob", password="first", policies="default")
    assert auth.list_user()["data"]["keys"] == ["bob"]
    assert auth.read_user("bob")["data"]["token_policies"] == ["default"]
    person = client(token=None)
    login = person.auth.userpass.login("bob", "first")["auth"]
    assert login["metadata"] == {"username": "bob"} and login["policies"] == ["default"], login
    assert person.lookup_token()["data"]["display_name"] == "userpass-bob"
    auth.update_password_on_user("bob", "second")
    stranger = client(token=None)
    for name, password in [("bob", "first"), ("nobody", "second")]:
        text = refused(exceptions.InvalidRequest, stranger.auth.userpass.login, name, password)
        assert "invalid username or password" in text, text
    person.auth.userpass.login("bob", "second")
    auth.delete_user("bob")
    refused(exceptions.InvalidRequest, stranger.auth.userpass.login, "bob", "second")
    refused(exceptions.InvalidPath, auth.read_user, "bob")


def main():
    root = client()
    for step in [approle, userpass]:
        print(step.__name__, flush=True)
        step(root)


if __name__ == "__main__":
    main()
