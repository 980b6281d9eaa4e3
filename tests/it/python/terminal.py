"""bao on a real terminal: what is typed at its hidden prompts."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

BAO = os.path.join(os.path.dirname(sys.executable), "bao")
ENV = {
    "BAO_ADDR": os.environ["VAULT_ADDR"],
    "BAO_CACERT": os.environ.get("VAULT_CACERT", ""),
    "BAO_MAX_RETRIES": "0",
    "HOME": os.getcwd() if os.access(os.getcwd(), os.W_OK) else "/tmp",
    "TERM": "dumb",
}
SECONDS_MAX = 30


def plain(*arguments, token=None):
    env = dict(ENV, BAO_TOKEN=token) if token else ENV
    done = subprocess.run([BAO, *arguments], env=env, capture_output=True, text=True, timeout=SECONDS_MAX)
    assert done.returncode in (0, 2), (arguments, done)
    return done


def typed(arguments, prompt, text, token=None):
    """Runs bao on a terminal of its own, types `text` at `prompt`; exit code and everything that the terminal showed."""
    env = dict(ENV, BAO_TOKEN=token) if token else ENV
    child, terminal = pty.fork()
    if child == 0:
        os.execve(BAO, [BAO, *arguments], env)
    shown, sent, begun = b"", False, time.monotonic()
    while True:
        assert time.monotonic() - begun < SECONDS_MAX, shown
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if ready:
            try:
                part = os.read(terminal, 4096)
            except OSError:
                part = b""
            if not part:
                break
            shown += part
        if not sent and prompt in shown:
            # The echo is switched off just after the prompt.
            time.sleep(0.3)
            os.write(terminal, text)
            sent = True
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert sent, shown
    return os.waitstatus_to_exitcode(status), shown.decode(errors="replace")


init = json.loads(plain("operator", "init", "-key-shares=2", "-key-threshold=2", "-format=json").stdout)
first, second = init["unseal_keys_b64"]
root = init["root_token"]

code, shown = typed(["operator", "unseal"], b"will be hidden", first.encode() + b"\n")
assert code == 0 and "1/2" in shown and first not in shown, (code, shown)
# Interrupted at the prompt: nothing is brought.
code, shown = typed(["operator", "unseal"], b"will be hidden", b"\x03")
assert code != 0, (code, shown)
assert "1/2" in plain("status").stdout
code, shown = typed(["operator", "unseal"], b"will be hidden", second.encode() + b"\n")
assert code == 0 and second not in shown, (code, shown)
assert json.loads(plain("status", "-format=json").stdout)["sealed"] is False

code, shown = typed(["login", "-no-store"], b"will be hidden", root.encode() + b"\n")
assert code == 0 and "You are now authenticated" in shown, (code, shown)
code, shown = typed(["login", "-no-store"], b"will be hidden", b"s.wrong\n")
assert code == 2 and "permission denied" in shown, (code, shown)

# A ceremony that is interrupted goes on later.
begun = json.loads(plain("operator", "generate-root", "-init", "-format=json", token=root).stdout)
code, shown = typed(["operator", "generate-root"], b"will be hidden", first.encode() + b"\n", token=root)
assert code == 0 and "1/2" in shown and first not in shown, (code, shown)
code, shown = typed(["operator", "generate-root"], b"will be hidden", b"\x03", token=root)
assert code != 0, (code, shown)
code, shown = typed(["operator", "generate-root"], b"will be hidden", second.encode() + b"\n", token=root)
assert code == 0 and "2/2" in shown and second not in shown, (code, shown)

plain("operator", "seal", token=root)
assert json.loads(plain("status", "-format=json").stdout)["sealed"] is True
