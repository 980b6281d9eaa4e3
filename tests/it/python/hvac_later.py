"""hvac against a running server: moving a mount. Called as `hvac_core.py` is."""

import time

from hvac_core import client


def remount(root):
    root.sys.enable_secrets_engine("kv", path="moving", options={"version": "2"})
    moved = root.sys.move_backend("moving", "moved")
    assert moved["data"]["migration_id"]
    deadline = time.monotonic() + 30
    while "moved/" not in root.sys.list_mounted_secrets_engines()["data"]:
        assert time.monotonic() < deadline, "the mount did not move"
        time.sleep(0.05)


def main():
    root = client()
    for step in [remount]:
        print(step.__name__, flush=True)
        step(root)


if __name__ == "__main__":
    main()
