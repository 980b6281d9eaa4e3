//! The report of `audit access` as one page that opens without a network: no script, nothing fetched, every text escaped.

use std::fmt::Write as _;

use super::access::{Principal, Reader, Report};

/// Nothing may be loaded or run, whatever got into the page.
const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<title>Access</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #1c2430; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin-top: 2em; }
code { font-family: ui-monospace, monospace; font-size: .92em; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35em .7em; border-bottom: 1px solid #d6dbe2; overflow-wrap: anywhere; }
th { background: #f1f3f6; }
.no { color: #a4161a; font-weight: 600; } .yes { color: #1b6e3c; } .note { color: #5b6675; }
.warning { background: #fff4d6; padding: .5em .8em; }
@media print { body { margin: 0; max-width: none; } }
</style>
</head>
<body>
";

/// The page.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::from(HEAD);
    let (path, at) = (escaped(&format!("{}{}", report.namespace, report.path)), escaped(&report.at));
    let _ = writeln!(page, "<h1>Access to <code>{path}</code></h1>");
    let _ = writeln!(page, "<p>As of <code>{at}</code>. <span class=\"note\">{}</span></p>", escaped(&report.basis));
    for warning in report.warnings() {
        let _ = writeln!(page, "<p class=\"warning\">{}</p>", escaped(&warning));
    }
    table(&mut page, "Who may", &["Who", "What", "Policies", ""], report.principals.iter().map(principal));
    let heads = ["Who", "Reads", "First", "Last", "May still", "Known by"];
    table(&mut page, "Who did", &heads, report.readers.iter().map(reader));
    table(&mut page, "Who did, and no longer may", &heads, report.no_longer().map(reader));
    page.push_str("</body>\n</html>\n");
    page
}

fn table(page: &mut String, title: &str, heads: &[&str], rows: impl Iterator<Item = String>) {
    let rows: Vec<String> = rows.collect();
    let _ = writeln!(page, "<h2>{title} ({})</h2>", rows.len());
    if rows.is_empty() {
        page.push_str("<p class=\"note\">Nobody.</p>\n");
        return;
    }
    let _ = writeln!(page, "<table>\n<tr><th>{}</th></tr>", heads.join("</th><th>"));
    for row in rows {
        let _ = writeln!(page, "<tr>{row}</tr>");
    }
    page.push_str("</table>\n");
}

fn principal(principal: &Principal) -> String {
    format!(
        "<td>{} <code>{}{}</code></td><td>{}</td><td><code>{}</code></td><td class=\"note\">{}</td>",
        escaped(&principal.kind),
        escaped(&principal.mount),
        escaped(&principal.name),
        escaped(&principal.may()),
        escaped(&principal.policies.join(" ")),
        escaped(&principal.remark()),
    )
}

fn reader(reader: &Reader) -> String {
    let class = match reader.may_read {
        Some(true) => "yes",
        Some(false) => "no",
        None => "note",
    };
    let entity = reader.entity.as_ref().map_or_else(String::new, |id| format!("<br><code class=\"note\">{}</code>", escaped(id)));
    let by_reference = if reader.by_reference > 0 { format!(" ({} by reference)", reader.by_reference) } else { String::new() };
    format!(
        "<td>{}{entity}</td><td>{}{by_reference}</td><td>{}</td><td>{}</td><td class=\"{class}\">{}</td><td>{}</td>",
        escaped(&reader.display_name),
        reader.count,
        escaped(&reader.first),
        escaped(&reader.last),
        reader.still(),
        escaped(&reader.basis),
    )
}

/// Names are what somebody chose: none of them is markup, and none turns the text around it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Marks of direction would show a name as another one.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script>\"'&<img src=x onerror=y>\u{202e}\u{7}";

    fn report(name: &str) -> Report {
        let text = || name.to_owned();
        let principal = Principal {
            kind: text(),
            mount: text(),
            name: text(),
            policies: vec![text()],
            capabilities: vec![text()],
            depends_on_entity: true,
            second_factor: true,
            any_policy: true,
            tokens: Some(2),
            since_unknown: true,
            note: Some(text()),
        };
        let reader = |may_read| Reader {
            display_name: text(),
            entity: Some(text()),
            kind: text(),
            policies: vec![text()],
            accessors: vec![text()],
            count: 3,
            by_reference: 1,
            first: text(),
            last: text(),
            may_read,
            basis: text(),
        };
        Report {
            path: text(),
            namespace: text(),
            at: text(),
            basis: text(),
            forgotten_policies: vec![text()],
            forgotten: vec![text()],
            not_looked_at: vec![text()],
            principals: vec![principal],
            readers: vec![reader(Some(true)), reader(Some(false)), reader(None)],
        }
    }

    #[test]
    fn no_name_is_markup() {
        let (hostile, plain) = (page(&report(HOSTILE)), page(&report("name")));
        let marks = |page: &str| page.matches(['<', '>']).count();
        assert_eq!(marks(&hostile), marks(&plain), "a name has made an element");
        for text in ["<script", "<img", "onerror=y>", "\u{202e}", "\u{7}"] {
            assert!(!hostile.contains(text), "{text:?}");
        }
        let quotes = |page: &str| page.matches(['"', '\'']).count();
        assert_eq!(quotes(&hostile), quotes(&plain), "a name has ended an attribute");
        assert!(hostile.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"));
    }

    #[test]
    fn the_page_needs_nothing_but_itself() {
        let page = page(&report("name"));
        for word in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'") && page.contains("no longer may (1)"));
    }
}
