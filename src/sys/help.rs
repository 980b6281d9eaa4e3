//! `?help=1` on any path: what the engine's table says of it, as text and as `OpenAPI`.

use std::fmt::Write as _;

use crate::answer::Answer;
use crate::auth::{approle, cert, jwt, kubernetes, token, userpass};
use crate::commit::Place;
use crate::engine::table::{Facts, Verb, capture};
use crate::engine::{cubbyhole, identity, kv, transit};
use crate::json::Json;
use crate::mount::Engine;
use crate::path::Path;
use crate::sys::{openapi, rows};

/// What an engine's table says.
pub(super) fn table(engine: Engine) -> Vec<Facts> {
    match engine {
        Engine::Kv1 => kv::v1::TABLE.iter().map(Facts::from).collect(),
        Engine::Kv2 => kv::v2::TABLE.iter().map(Facts::from).collect(),
        Engine::Cubbyhole => cubbyhole::TABLE.iter().map(Facts::from).collect(),
        Engine::Identity => identity::TABLE.iter().map(Facts::from).collect(),
        Engine::Transit => transit::TABLE.iter().map(Facts::from).collect(),
        Engine::Token => token::TABLE.iter().map(Facts::from).collect(),
        Engine::System => rows(),
        Engine::AppRole => approle::TABLE.iter().map(Facts::from).collect(),
        Engine::Userpass => userpass::TABLE.iter().map(Facts::from).collect(),
        Engine::Cert => cert::TABLE.iter().map(Facts::from).collect(),
        Engine::Jwt | Engine::Oidc => jwt::TABLE.iter().map(Facts::from).collect(),
        Engine::Kubernetes => kubernetes::TABLE.iter().map(Facts::from).collect(),
    }
}

/// What is said of `path` below a mount; of the whole mount when it is empty. `None` when the table has no such path.
pub fn of(place: &Place, path: &Path) -> Option<Answer> {
    let table = table(place.mount.engine);
    let (text, rows) = if path.is_empty() {
        (of_mount(&table), table)
    } else {
        let rows: Vec<Facts> = table.into_iter().filter(|row| capture(row.pattern, path.as_str()).is_some()).collect();
        // The first match answers, as in routing: what a broader pattern offers besides is not what is asked for.
        let pattern = rows.first()?.pattern;
        let rows: Vec<Facts> = rows.into_iter().filter(|row| row.pattern == pattern).collect();
        (of_path(path.as_str(), pattern, &rows), rows)
    };
    let document = openapi::document(&[(place.path.clone(), rows)]);
    let body = Json::object(|out| {
        out.field("help", &text).field("openapi", &document).null("see_also");
    });
    Some(Answer::Bare { status: 200, body })
}

fn of_mount(table: &[Facts]) -> String {
    let mut text =
        "## PATHS\n\nThe following paths are supported here. To view help for any of them, use the help command with a \
                    path that matches.\nWhat you may do there depends on the policies of your token.\n"
            .to_owned();
    let mut last = "";
    for row in table {
        if row.pattern != last {
            let _ = writeln!(text, "\n    {}", row.pattern);
            last = row.pattern;
        }
        let _ = writeln!(text, "        {}", row.help);
    }
    text
}

fn of_path(path: &str, pattern: &str, rows: &[Facts]) -> String {
    let mut text = format!("Request:        {path}\nMatching Route: {pattern}\n\n");
    let mut seen = Vec::new();
    for field in rows.iter().flat_map(|row| row.fields) {
        if seen.is_empty() {
            text += "## PARAMETERS\n";
        }
        if !seen.contains(&field.name) {
            seen.push(field.name);
            let _ = write!(text, "\n    {} ({})\n\n        {}\n", field.name, field.kind, field.help);
        }
    }
    if !seen.is_empty() {
        text.push('\n');
    }
    text += "## DESCRIPTION\n";
    for row in rows {
        let _ = write!(text, "\n    {}\n        {}\n", method(row.verb), row.help);
    }
    text
}

/// As a client sends it.
fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Read => "GET",
        Verb::List => "LIST (or GET with list=true)",
        Verb::Scan => "SCAN (or GET with scan=true)",
        Verb::Write => "PUT, POST",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
    }
}
