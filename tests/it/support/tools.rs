//! Where the foreign clients are. A tool that is missing fails the test and names the command that installs it.

use std::path::{Path, PathBuf};

/// A variable of the test run's environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "tests are steered by scripts/test through the environment")]
    let value = std::env::var(name);
    value.ok()
}

/// The binary of this server: the one that was built with the tests, or what `STRONGROOM_TEST_BINARY` names.
pub(crate) fn strongroom() -> PathBuf {
    variable("STRONGROOM_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_strongroom").to_owned()).into()
}

/// The virtual environment with `bao` and hvac: `STRONGROOM_TEST_VENV`, or `.venv` in the project.
fn venv() -> PathBuf {
    variable("STRONGROOM_TEST_VENV").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv"), PathBuf::from)
}

fn tool(name: &str) -> PathBuf {
    let path = venv().join("bin").join(name);
    assert!(path.exists(), "{} is missing; install it with: scripts/test --install", path.display());
    path
}

/// The clients that `scripts/test` puts into the folder of builds, or into `STRONGROOM_TEST_CLIENTS`.
fn client(name: &str) -> PathBuf {
    let builds = || Path::new(env!("CARGO_BIN_EXE_strongroom")).ancestors().nth(2).map(Path::to_owned);
    let folder = variable("STRONGROOM_TEST_CLIENTS").map(PathBuf::from).or_else(builds).unwrap();
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing; install it with: scripts/test --install", path.display());
    path
}

/// Where node finds node-vault.
pub(crate) fn node_modules() -> PathBuf {
    client("node/node_modules")
}

/// The session with vaultrs, a program of its own.
pub(crate) fn vaultrs() -> PathBuf {
    client("vaultrs/debug/strongroom-vaultrs")
}

/// The real `helm` binary.
pub(crate) fn helm() -> PathBuf {
    client("helm/helm")
}

/// Checks manifests against the schemas of Kubernetes.
pub(crate) fn kubernetes_validate() -> PathBuf {
    tool("kubernetes-validate")
}

/// Checks a Dockerfile.
pub(crate) fn hadolint() -> PathBuf {
    tool("hadolint")
}

/// The real `bao` binary.
pub(crate) fn bao() -> PathBuf {
    tool("bao")
}

/// A server that speaks AWS KMS.
pub(crate) fn moto_server() -> PathBuf {
    tool("moto_server")
}

/// A Python that has hvac.
pub(crate) fn python() -> PathBuf {
    tool("python")
}
