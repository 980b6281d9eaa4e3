//! Patterns in which `*` stands for any characters, also none.

/// Whether a pattern matches all of a text.
pub fn matches(glob: &str, text: &str) -> bool {
    let Some((head, mut rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((part, after)) = rest.split_once('*') {
        // The first place that fits leaves the most for what follows.
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
        rest = after;
    }
    text.ends_with(rest)
}
