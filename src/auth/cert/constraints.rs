//! What a role demands of the names and extensions of a certificate.

use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::auth::token::grant::matches_any;
use crate::cert::Identity;
use crate::engine::table::Field;
use crate::fields::Fields;
use crate::json::Object;

/// The most entries of one list.
pub(super) const ENTRIES_MAX: usize = 100;
/// The longest entry, in bytes.
pub(super) const ENTRY_BYTES_MAX: usize = 512;

/// Lists of globs. An empty one demands nothing; of any other, one entry must fit (of the extensions: all). Upper and lower
/// case differ. `*` stands for any characters; in a URI, `+` as a whole segment for one that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Constraints {
    /// The common name, a DNS name or an e-mail address.
    names: Vec<String>,
    common_names: Vec<String>,
    dns_sans: Vec<String>,
    email_sans: Vec<String>,
    uri_sans: Vec<String>,
    organizational_units: Vec<String>,
    /// `1.2.3.4:glob` of a text, `hex:1.2.3.4:glob` of the value's DER.
    required_extensions: Vec<String>,
}

/// How they are written.
pub(super) const FIELDS: [Field; 7] = [
    field("allowed_names", "Globs, of which one must fit the common name, a DNS name or an e-mail address."),
    field("allowed_common_names", "Globs, of which one must fit the common name."),
    field("allowed_dns_sans", "Globs, of which one must fit a DNS name."),
    field("allowed_email_sans", "Globs, of which one must fit an e-mail address."),
    field("allowed_uri_sans", "Globs, of which one must fit a URI; + is one segment (spiffe://acme/+/web)."),
    field("allowed_organizational_units", "Globs, of which one must fit an organisational unit."),
    field("required_extensions", "`oid:glob` of a text, `hex:oid:glob` of a value; all must fit."),
];

const fn field(name: &'static str, help: &'static str) -> Field {
    Field { name, kind: "array", help }
}

/// What a write says about them; what it does not name stays.
#[derive(Debug, Default)]
pub(super) struct Change([Option<Vec<String>>; 7]);

impl Change {
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let mut lists = [const { None }; 7];
        for (list, field) in lists.iter_mut().zip(FIELDS) {
            *list = entries(fields, field.name)?;
        }
        if let Some(wrong) = lists[6].iter().flatten().find(|entry| extension(entry).is_none()) {
            return Err(Refusal::invalid(format!("required_extensions: {wrong:?} is neither oid:value nor hex:oid:value")));
        }
        Ok(Self(lists))
    }

    pub(super) fn apply(self, before: &Constraints) -> Constraints {
        let before = before.clone();
        let [names, common_names, dns_sans, email_sans, uri_sans, organizational_units, required_extensions] = self.0;
        Constraints {
            names: names.unwrap_or(before.names),
            common_names: common_names.unwrap_or(before.common_names),
            dns_sans: dns_sans.unwrap_or(before.dns_sans),
            email_sans: email_sans.unwrap_or(before.email_sans),
            uri_sans: uri_sans.unwrap_or(before.uri_sans),
            organizational_units: organizational_units.unwrap_or(before.organizational_units),
            required_extensions: required_extensions.unwrap_or(before.required_extensions),
        }
    }
}

/// A list of a write, without blanks and empty entries.
pub(super) fn entries(fields: &Fields<'_>, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let Some(given) = fields.list(name)? else { return Ok(None) };
    let entries: Vec<String> = given.iter().map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty()).collect();
    if entries.len() > ENTRIES_MAX || entries.iter().any(|entry| entry.len() > ENTRY_BYTES_MAX) {
        return Err(Refusal::invalid(format!("{name}: at most {ENTRIES_MAX} entries of {ENTRY_BYTES_MAX} bytes")));
    }
    Ok(Some(entries))
}

impl Constraints {
    /// Whether a certificate carries what is demanded.
    pub(super) fn allow(&self, identity: &Identity) -> bool {
        let common_name = identity.common_name.as_slice();
        let any = |globs: &[String], names: &[&[String]]| {
            globs.is_empty() || names.iter().copied().flatten().any(|name| matches_any(globs, name))
        };
        any(&self.names, &[common_name, &identity.dns_names, &identity.emails])
            && any(&self.common_names, &[common_name])
            && any(&self.dns_sans, &[&identity.dns_names])
            && any(&self.email_sans, &[&identity.emails])
            && any(&self.organizational_units, &[&identity.organizational_units])
            && (self.uri_sans.is_empty()
                || identity.uris.iter().any(|uri| self.uri_sans.iter().any(|glob| matches_uri(glob, uri))))
            && self.required_extensions.iter().all(|wanted| has_extension(identity, wanted))
    }

    /// Adds the fields of a read. A list that demands nothing is `null`.
    pub(super) fn show(&self, data: &mut Object<'_>) {
        let lists = [
            &self.names,
            &self.common_names,
            &self.dns_sans,
            &self.email_sans,
            &self.uri_sans,
            &self.organizational_units,
            &self.required_extensions,
        ];
        for (field, list) in FIELDS.iter().zip(lists) {
            show_list(data, field.name, list);
        }
    }
}

/// `null` for one that is empty.
pub(super) fn show_list(data: &mut Object<'_>, name: &str, list: &[String]) {
    if list.is_empty() {
        data.null(name)
    } else {
        data.strings(name, list)
    };
}

/// Whether the value's DER is meant, the identifier, and the glob.
fn extension(entry: &str) -> Option<(bool, &str, &str)> {
    let (hex, entry) = entry.strip_prefix("hex:").map_or((false, entry), |rest| (true, rest));
    let (oid, glob) = entry.split_once(':')?;
    let numbers = oid.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    numbers.then_some((hex, oid, glob))
}

fn has_extension(identity: &Identity, wanted: &str) -> bool {
    let Some((hex, oid, glob)) = extension(wanted) else { return false };
    let Some(found) = identity.extensions.iter().find(|extension| extension.oid == oid) else { return false };
    if hex {
        return matches_any(&[glob.to_lowercase()], &data_encoding::HEXLOWER.encode(&found.value));
    }
    found.text().is_some_and(|text| matches_any(&[glob.to_owned()], text))
}

enum Part<'a> {
    /// `*`
    Any,
    /// `+`
    Segment,
    Text(&'a str),
}

impl<'a> Part<'a> {
    fn of(glob: &'a str) -> Vec<Self> {
        let mut parts = Vec::new();
        for (at, segment) in glob.split('/').enumerate() {
            if at > 0 {
                parts.push(Self::Text("/"));
            }
            if segment == "+" {
                parts.push(Self::Segment);
                continue;
            }
            for (at, text) in segment.split('*').enumerate() {
                if at > 0 {
                    parts.push(Self::Any);
                }
                parts.push(Self::Text(text));
            }
        }
        parts
    }

    /// What follows in `text` behind what this takes.
    fn strip<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Any => Some(text),
            Self::Text(own) => text.strip_prefix(own),
            Self::Segment => text.get(text.find('/').unwrap_or(text.len())..).filter(|rest| rest.len() < text.len()),
        }
    }
}

fn matches_uri(glob: &str, uri: &str) -> bool {
    let parts = Part::of(glob);
    let (mut at, mut rest) = (0, uri);
    let mut star: Option<(usize, &str)> = None;
    loop {
        match parts.get(at) {
            None if rest.is_empty() => return true,
            None => {}
            Some(part) => {
                if let Some(after) = part.strip(rest) {
                    if matches!(part, Part::Any) {
                        star = Some((at, rest));
                    }
                    (at, rest) = (at + 1, after);
                    continue;
                }
            }
        }
        // The last star takes one character more: what fits first leaves the most for what follows.
        let Some((star_at, from)) = star else { return false };
        let mut characters = from.chars();
        if characters.next().is_none() {
            return false;
        }
        (at, rest) = (star_at + 1, characters.as_str());
        star = Some((star_at, rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert::testing::{Authority, Leaf};

    fn constraints(body: &str) -> Constraints {
        let fields = Fields::parse(body.as_bytes(), None).unwrap();
        Change::parse(&fields).unwrap().apply(&Constraints::default())
    }

    #[test]
    fn segments_and_stars_of_uris() {
        for (glob, uri, fits) in [
            ("spiffe://acme/web", "spiffe://acme/web", true),
            ("spiffe://acme/web", "spiffe://acme/web2", false),
            ("spiffe://acme/*", "spiffe://acme/a/b", true),
            ("spiffe://acme/*", "spiffe://acme.evil/a", false),
            ("spiffe://acme/+/web", "spiffe://acme/prod/web", true),
            ("spiffe://acme/+/web", "spiffe://acme/prod/eu/web", false),
            ("spiffe://acme/+/web", "spiffe://acme//web", false),
            ("spiffe://acme/+", "spiffe://acme/a", true),
            ("spiffe://acme/+", "spiffe://acme/a/b", false),
            ("spiffe://acme/+", "spiffe://acme/", false),
            ("spiffe://+/web", "spiffe://acme/web", true),
            ("spiffe://+/web", "spiffe://acme/x/web", false),
            ("*/web", "spiffe://acme/x/web", true),
            ("*/+/web", "spiffe://acme/x/web", true),
            ("spiffe://*/ns/+/sa/*", "spiffe://a.b/ns/x/sa/y/z", true),
            ("spiffe://*/ns/+/sa/*", "spiffe://a.b/ns/x/y/sa/z", false),
            ("spiffe://acme/a+", "spiffe://acme/a+", true),
            ("spiffe://acme/a+", "spiffe://acme/ab", false),
            ("spiffe://acme/WEB", "spiffe://acme/web", false),
            ("*", "", true),
            ("+", "", false),
            ("", "", true),
        ] {
            assert_eq!(matches_uri(glob, uri), fits, "{glob} {uri}");
        }
        assert!(!matches_uri(&"*a".repeat(100), &"a".repeat(50)), "bounded");
    }

    #[test]
    fn every_list_that_is_not_empty_must_have_an_entry_that_fits() {
        let leaf = Leaf { common_name: Some("web.example"), unit: Some("ops"), dns: &["a.example", "b.example"], ..Leaf::new() };
        let leaf = Leaf { emails: &["x@example"], uris: &["spiffe://acme/prod/web"], ..leaf };
        let leaf = Leaf { extensions: &[(&[1, 2, 3, 4], b"\x0c\x05hello"), (&[1, 2, 3, 5], b"\x02\x01\x07")], ..leaf };
        let identity = Identity::parse(&Authority::new("CA").sign(&leaf).der).unwrap();
        for (body, allowed) in [
            ("{}", true),
            (r#"{"allowed_names":"web.*"}"#, true),
            (r#"{"allowed_names":["nobody","b.example"]}"#, true),
            (r#"{"allowed_names":"x@example"}"#, true),
            (r#"{"allowed_names":"spiffe://*"}"#, false),
            (r#"{"allowed_common_names":"web.example"}"#, true),
            (r#"{"allowed_common_names":"WEB.example"}"#, false),
            (r#"{"allowed_common_names":"a.example"}"#, false),
            (r#"{"allowed_dns_sans":"a.*"}"#, true),
            (r#"{"allowed_dns_sans":"web.example"}"#, false),
            (r#"{"allowed_email_sans":"*@example"}"#, true),
            (r#"{"allowed_email_sans":"*@other"}"#, false),
            (r#"{"allowed_uri_sans":"spiffe://acme/+/web"}"#, true),
            (r#"{"allowed_uri_sans":"spiffe://acme/web"}"#, false),
            (r#"{"allowed_organizational_units":"ops,dev"}"#, true),
            (r#"{"allowed_organizational_units":"dev"}"#, false),
            (r#"{"allowed_organizational_units":"ops","allowed_dns_sans":"c.example"}"#, false),
            (r#"{"required_extensions":"1.2.3.4:hel*"}"#, true),
            (r#"{"required_extensions":"1.2.3.4:bye"}"#, false),
            (r#"{"required_extensions":["1.2.3.4:hello","1.2.3.9:x"]}"#, false),
            (r#"{"required_extensions":"hex:1.2.3.5:020107"}"#, true),
            (r#"{"required_extensions":"1.2.3.5:*"}"#, false),
        ] {
            assert_eq!(constraints(body).allow(&identity), allowed, "{body}");
        }
    }

    #[test]
    fn extensions_are_demanded_in_one_form_only() {
        for body in
            [r#"{"required_extensions":"nonsense"}"#, r#"{"required_extensions":"hex:1.2"}"#, r#"{"required_extensions":"a:b"}"#]
        {
            let fields = Fields::parse(body.as_bytes(), None).unwrap();
            assert!(Change::parse(&fields).is_err(), "{body}");
        }
    }
}
