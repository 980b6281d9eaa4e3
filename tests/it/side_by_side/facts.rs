//! What an answer is, without what differs from run to run: which fields there are and of which type, texts without ids and
//! times.

use std::collections::BTreeMap;

use serde_json::Value;

/// Facts by place: `exit`, `status`, `errors`, `stderr`, or a field of the answer such as `data.keys[]`.
pub(super) type Facts = BTreeMap<String, String>;

/// Adds one fact for each field of `value`. Truth, nothing and emptiness count as types of their own.
pub(super) fn add_fields(facts: &mut Facts, place: &str, value: &Value) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Number(number) if number.is_f64() => "fraction",
        Value::Number(_) => "number",
        Value::String(text) if text.is_empty() => "\"\"",
        Value::String(_) => "text",
        Value::Array(items) if items.is_empty() => "[]",
        Value::Object(fields) if fields.is_empty() => "{}",
        Value::Array(items) => {
            for item in items {
                add_fields(facts, &format!("{place}[]"), item);
            }
            return;
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let dot = if place.is_empty() { "" } else { "." };
                add_fields(facts, &format!("{place}{dot}{}", masked(name)), field);
            }
            return;
        }
    };
    let place = if place.is_empty() { "answer" } else { place };
    let known = facts.entry(place.to_owned()).or_default();
    // Items of one list may be of several types.
    if !known.split('|').any(|one| one == kind) {
        let mut kinds: Vec<&str> = known.split('|').filter(|one| !one.is_empty()).chain([kind]).collect();
        kinds.sort_unstable();
        *known = kinds.join("|");
    }
}

/// A text with `<id>` in place of ids, and `<time>` in place of times; on one line.
pub(super) fn masked(text: &str) -> String {
    let word = |letter: char| letter.is_ascii_alphanumeric() || "-._:".contains(letter);
    let mut out = String::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter| word(letter) != word(first)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        out.push_str(if word(first) { mask_word(piece) } else { piece });
        rest = after;
    }
    out.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" / ")
}

fn mask_word(word: &str) -> &str {
    let core = word.trim_end_matches(['.', ':']);
    let digits = core.bytes().filter(u8::is_ascii_digit).count();
    let uuid = core.len() == 36 && core.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let time = core.len() > 18 && core.ends_with('Z') && core.contains('T') && digits > 12;
    let accessor = core.rsplit_once('_').is_some_and(|(_, id)| id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match () {
        () if time => "<time>",
        () if uuid || accessor || (core.len() >= 20 && digits > 0) => "<id>",
        () => word,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_have_types_and_not_values() {
        let mut facts = Facts::new();
        let value = json!({"a": {"n": 1, "f": 1.5, "e": ""}, "l": [true, "x"], "none": [], "o": {}, "z": null});
        add_fields(&mut facts, "", &value);
        let told: Vec<String> = facts.iter().map(|(place, kind)| format!("{place} {kind}")).collect();
        assert_eq!(told, ["a.e \"\"", "a.f fraction", "a.n number", "l[] text|true", "none []", "o {}", "z null"]);
    }

    #[test]
    fn ids_and_times_are_masked_and_words_are_not() {
        let id = "0e7a1a38-7a0c-4a55-9d4b-6d3a2f0f9a11";
        assert_eq!(masked(&format!("lease {id} ends 2026-11-22T01:02:03.123456789Z.")), "lease <id> ends <time>");
        assert_eq!(masked("kv_0a1b2c3d: s.abcdefghijklmnopqrstuvw1"), "<id> <id>");
        assert_eq!(
            masked("Error making API request.\n\n  * permission denied"),
            "Error making API request. / * permission denied"
        );
    }
}
