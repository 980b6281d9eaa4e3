//! hvac, the Python client: scripts in `tests/it/python/`, each of which ends with 0 when all its assertions held.

use std::path::Path;

use super::process::run;
use super::{Target, tools};

/// Runs one script against `target`; fails with everything it printed when it fails.
#[track_caller]
pub(crate) fn run_script(name: &str, target: &Target) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python").join(name);
    let mut variables = vec![
        ("VAULT_ADDR".to_owned(), target.url.clone()),
        ("VAULT_TOKEN".to_owned(), target.token.clone()),
        ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()),
    ];
    if let Some(ca) = &target.ca {
        variables.push(("VAULT_CACERT".to_owned(), ca.display().to_string()));
    }
    let done = run(&tools::python(), &[&file.display().to_string()], &variables, None);
    assert_eq!(done.code, 0, "{name}\n{}{}", done.stdout, done.stderr);
}
