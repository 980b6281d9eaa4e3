//! From the paths of `--config` to texts, and from there to a `Config` whose files can be read.

use std::fs;
use std::path::PathBuf;

use super::{Config, ConfigError, FileSetting, Pin, SealKind, Storage, TransitAuth, parse};
use crate::secret::SecretText;
use crate::stanza;

/// Reads every file, and every `*.hcl` and `*.json` of every folder (sorted by name), as one configuration, and
/// checks that the files it names can be opened. `connection_url` stands in for the one of `storage "postgresql"`.
pub fn load(paths: &[PathBuf], connection_url: Option<SecretText>) -> Result<Config, ConfigError> {
    let sources = stanza::read(paths)?;
    let config = parse(&sources, connection_url)?;
    for file in named_files(&config) {
        fs::File::open(&file.path)
            .and_then(|opened| opened.metadata())
            .map_err(|error| file.setting.wrong(format!("{} cannot be read: {error}", file.path.display())))
            .and_then(|metadata| {
                let problem = || file.setting.wrong(format!("{} is not a file", file.path.display()));
                metadata.is_file().then_some(()).ok_or_else(problem)
            })?;
    }
    Ok(config)
}

fn named_files(config: &Config) -> impl Iterator<Item = &FileSetting> {
    let tls = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let tls = tls.flat_map(|tls| [Some(&tls.cert_file), Some(&tls.key_file), tls.client_ca_file.as_ref()]).flatten();
    let storage = match &config.storage {
        Storage::Sqlite { .. } => None,
        Storage::Postgres(postgres) => Some(&postgres.context_key_file),
    };
    tls.chain(storage).chain(config.seals.iter().flat_map(|seal| files_of_seal(&seal.kind)))
}

fn files_of_seal(kind: &SealKind) -> Vec<&FileSetting> {
    match kind {
        SealKind::Shamir | SealKind::AwsKms(_) | SealKind::Recovery => Vec::new(),
        SealKind::Static { current, previous } => {
            [Some(&current.file), previous.as_ref().map(|key| &key.file)].into_iter().flatten().collect()
        }
        SealKind::Transit(transit) => {
            let token = match &transit.auth {
                TransitAuth::TokenFile(file) => Some(file),
                TransitAuth::Token(_) | TransitAuth::Certificate { .. } => None,
            };
            let client = transit.tls.client.iter().flat_map(|(chain, key)| [chain, key]);
            transit.tls.ca_cert.iter().chain(client).chain(token).collect()
        }
        SealKind::Pkcs11(pkcs11) => {
            let pin = match &pkcs11.pin {
                Pin::File(file) => Some(file),
                Pin::Text(_) => None,
            };
            [Some(&pkcs11.library), pin].into_iter().flatten().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(paths: &[PathBuf]) -> String {
        load(paths, None).err().unwrap().to_string()
    }

    #[test]
    fn a_folder_is_read_in_order_and_merged_with_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("10-store.hcl", "storage \"sqlite\" { path = \"/var/lib/strongroom/strongroom.db\" }\nlog_level = \"warn\"");
        write("20-listen.json", r#"{"listener": {"tcp": {"tls_disable": true}}}"#);
        write("notes.txt", "not a configuration {{{");
        let config = load(&[folder.path().to_owned()], None).unwrap();
        assert_eq!(config.listeners.len(), 1);

        write("30-more.hcl", "\n\nlog_level = \"info\"");
        let error = error_of(&[folder.path().to_owned()]);
        assert!(error.contains("30-more.hcl:3: log_level: is already set in"), "{error}");
        assert!(error.ends_with("10-store.hcl:2"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = error_of(&[folder.path().to_owned()]);
        assert!(error.ends_with("no *.hcl or *.json file in this folder"), "{error}");

        let file = folder.path().join("a.hcl");
        assert!(error_of(std::slice::from_ref(&file)).contains("a.hcl: cannot be read: No such file"));

        let text = "storage \"sqlite\" { path = \"x.db\" }\nlistener \"tcp\" {\n tls_cert_file = \"/nowhere/a.pem\"\n tls_key_file = \"/nowhere/a.key\"\n}";
        fs::write(&file, text).unwrap();
        let error = error_of(&[file]);
        assert!(
            error.contains("a.hcl:3: listener \"tcp\" tls_cert_file: /nowhere/a.pem cannot be read: No such file"),
            "{error}"
        );
    }
}
