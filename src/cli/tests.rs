use std::fs;
use std::path::PathBuf;

use clap::Command as Clap;
use clap::CommandFactory as _;

use super::*;

/// Every help text, by the words that ask for it.
fn helps(command: &Clap, name: &str, found: &mut Vec<(String, String)>) {
    found.push((name.to_owned(), command.clone().render_help().to_string()));
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        helps(verb, &format!("{name}-{}", verb.get_name()), found);
    }
}

/// To accept changed texts, run with `UPDATE_GOLDEN=1` and read the difference.
#[test]
fn help_texts_are_as_committed() {
    let mut command = Cli::command();
    command.build();
    let mut found = Vec::new();
    helps(&command, "strongroom", &mut found);
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/golden"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        for (name, text) in &found {
            fs::write(folder.join(format!("{name}.txt")), text).unwrap();
        }
    }
    let mut committed: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    committed.sort();
    let mut names: Vec<String> = found.iter().map(|(name, _)| format!("{name}.txt")).collect();
    names.sort();
    assert_eq!(committed, names);
    for (name, text) in found {
        assert_eq!(fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap(), text, "{name}");
        let leaf = name.matches('-').count() == 2
            || ["status", "server", "migrate", "witness", "rollback", "apply"].iter().any(|verb| name.ends_with(verb));
        assert_eq!(text.contains("Examples:"), leaf, "{name}");
    }
}

#[test]
fn single_dashes_are_understood_and_values_left_alone() {
    for (given, expected) in
        [("-mount=x", "--mount=x"), ("--mount", "--mount"), ("-h", "-h"), ("-", "-"), ("a=-b", "a=-b"), ("-1x", "-1x")]
    {
        assert_eq!(double_dash(OsString::from(given)), OsString::from(expected));
    }
}

#[test]
fn bao_wins_over_vault_and_tokens_come_from_files_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".vault-token"), "s.file\n").unwrap();
    let home = folder.path().as_os_str().to_owned();
    let environment = Environment::new(move |name| match name {
        "BAO_ADDR" => Some("https://bao".into()),
        "VAULT_ADDR" => Some("https://vault".into()),
        "BAO_NAMESPACE" => Some(OsString::new()),
        "VAULT_NAMESPACE" => Some("acme".into()),
        "HOME" => Some(home.clone()),
        _ => None,
    });
    assert_eq!(environment.text("ADDR").as_deref(), Some("https://bao"));
    assert_eq!(environment.text("NAMESPACE").as_deref(), Some("acme"));
    assert_eq!(environment.token().ok().flatten().unwrap().expose(), "s.file");

    let environment = Environment::new(|name| (name == "VAULT_TOKEN_PATH").then(|| "/nowhere/token".into()));
    assert!(environment.token().ok().unwrap().is_none());
}
