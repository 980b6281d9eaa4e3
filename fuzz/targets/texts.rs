//! Texts that clients and operators write.

use std::path::PathBuf;
use std::sync::Arc;

use strongroom::audit::cursor::Position;
use strongroom::auth::signed::{Jws, KEYS_MAX, KeySet, TOKEN_BYTES_MAX};
use strongroom::config::{self, Source};
use strongroom::engine::transit::marked::{Marked, mark};
use strongroom::fields::{self, Fields, Query};
use strongroom::path::Path;
use strongroom::policy::{Acl, Ask, Capability, Identity, Policy};
use strongroom::reference::Reference;
use strongroom::secret::SecretText;
use strongroom::spans::Parent;
use strongroom::time::{self, Timestamp};

use super::split_once;

/// A path that is accepted is canonical: reading it again changes nothing.
pub(super) fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for parsed in [Path::from_url(text), Path::new(text)] {
        let Ok(path) = parsed else { continue };
        assert_eq!(Path::new(path.as_str()).as_ref(), Ok(&path), "a canonical path is read differently the second time");
        assert!(path.as_str().len() <= strongroom::path::BYTES_MAX);
        assert!(path.segments().count() <= strongroom::path::SEGMENTS_MAX);
        assert!(!path.as_str().starts_with('/') && !path.as_str().contains("//"));
        assert!(path.segments().all(|segment| segment != "." && segment != ".."));
        assert!(!path.as_str().chars().any(char::is_control));
    }
}

/// Query strings.
pub(super) fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(query) = Query::parse(text) else { return };
    for name in ["list", "scan", "version", "after", "limit", "depth", ""] {
        let _ = (query.value(name), query.flag(name));
    }
}

/// A body, as JSON or as a form, and every conversion of every field in it. Names are unique.
pub(super) fn fields(data: &[u8]) {
    for content_type in [None, Some("application/json"), Some("application/x-www-form-urlencoded")] {
        let Ok(fields) = Fields::parse(data, content_type) else { continue };
        let names: Vec<&str> = fields.names().collect();
        for (at, name) in names.iter().enumerate() {
            assert!(!names.iter().take(at).any(|before| before == name), "a name is there twice");
            read_every_way(&fields, name);
        }
    }
}

/// No conversion may panic, whatever the field holds. What comes out is not judged here: unit tests do that.
fn read_every_way(fields: &Fields<'_>, name: &str) {
    let _ = (fields.has(name), fields.raw(name).is_some());
    let _ = (fields.text(name), fields.boolean(name), fields.integer(name), fields.duration(name));
    let _ = (fields.list(name), fields.integers(name), fields.map(name), fields.object(name).is_ok());
    drop(fields.secret(name));
    if let Ok(Some(nested)) = fields.nested(name) {
        assert!(nested.names().count() <= fields::NODES_MAX);
    }
}

/// A set of keys and a token, parted by a line `---`. A token that verifies has claims; one with a signature of nothing never
/// does.
pub(super) fn jwt(data: &[u8]) {
    let (keys, token) = split_once(data, b"\n---\n");
    let keys = KeySet::parse(keys).unwrap_or_else(|| KeySet::of(&[]));
    assert!(keys.candidates(None).count() <= KEYS_MAX);
    let keys = [Arc::new(keys)];
    let Ok(token) = std::str::from_utf8(token) else { return };
    let Some(jws) = Jws::parse(token) else { return };
    assert!(token.len() <= TOKEN_BYTES_MAX);
    if let Some(claims) = jws.verify(&keys, &[]) {
        let _ = (claims.text("sub"), claims.texts("aud"), claims.seconds("exp"), claims.values("/a/0"), claims.note("a"));
    }
    let unsigned = token.rsplit_once('.').map(|(signed, _)| format!("{signed}."));
    let forged = unsigned.as_deref().and_then(Jws::parse);
    assert!(forged.is_none_or(|forged| forged.verify(&keys, &[]).is_none()), "an empty signature verifies");
}

/// Two JSON objects, parted by a line `---`. Applying a patch twice is the same as applying it once.
pub(super) fn merge_patch(data: &[u8]) {
    let (target, patch) = split_once(data, b"\n---\n");
    let Ok(once) = fields::merge_patch(target, patch) else { return };
    let Ok(twice) = fields::merge_patch(once.expose(), patch) else { panic!("a merged object takes no patch") };
    assert!(once.expose() == twice.expose(), "a patch applied twice differs from one applied once");
}

/// A policy, in HCL or JSON. One that compiles decides, and grants nothing to a path that it does not name.
pub(super) fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(policy) = Policy::parse("fuzz", text) else { return };
    let mut identity = Identity::default();
    identity.set("identity.entity.name", "a/+*b");
    let acl = Acl::new(vec![Arc::new(policy)], &identity, Timestamp(0));
    for path in ["", "secret/", "secret/data/a", "sys/mounts", "auth/token/create"] {
        for capability in Capability::ALL {
            let _ = acl.decide(&Ask { sudo: true, ..Ask::new(path, capability) });
            if acl.decide(&Ask::new(path, capability)) {
                assert!(acl.capabilities(path).grants_something(), "what is allowed is not shown as a capability");
            }
        }
    }
}

/// A configuration file, as HCL and as JSON. An error is one line.
pub(super) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for file in ["fuzz.hcl", "fuzz.json"] {
        let source = Source { file: PathBuf::from(file), text: SecretText::new(text.to_owned()) };
        if let Err(error) = config::parse(&[source], None) {
            assert!(!error.to_string().contains('\n'), "an error has more than one line");
        }
    }
}

/// A description for `apply`, as HCL and as JSON. An error is one line.
pub(super) fn apply(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for file in ["fuzz.hcl", "fuzz.json"] {
        let source = Source { file: PathBuf::from(file), text: SecretText::new(text.to_owned()) };
        if let Err(error) = strongroom::cli::apply::parse(&[source]) {
            assert!(!error.to_string().contains('\n'), "an error has more than one line");
        }
    }
}

/// A caller's `traceparent`. What is read is what stands there, in the one way to write it, and no id is nothing.
pub(super) fn trace_parent(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(parent) = Parent::parse(text) else { return };
    let hexadecimal = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let begin = format!("-{}-{}-", hexadecimal(&parent.trace), hexadecimal(&parent.span));
    assert_eq!(text.get(2..53), Some(begin.as_str()));
    assert!(parent.trace != [0; 16] && parent.span != [0; 8]);
    assert!(text.starts_with("00-") <= (text.len() == 55));
}

/// References.
pub(super) fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(reference) = Reference::parse(text) {
        assert_eq!(reference.as_str(), text);
        assert_eq!(text.len(), 37);
    }
}

/// Durations and times. What is read can be written, and is read as the same again; a bare number of seconds may be longer than
/// Go's form can say, which ends at 2^64 nanoseconds.
pub(super) fn time(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(duration) = time::parse_duration(text).filter(|duration| duration.as_nanos() <= u64::MAX.into()) {
        assert_eq!(time::parse_duration(&time::go_duration(duration)), Some(duration), "{duration:?}");
    }
    if let Some(timestamp) = Timestamp::parse_rfc3339(text) {
        assert_eq!(Timestamp::parse_rfc3339(&timestamp.rfc3339()), Some(timestamp), "{timestamp:?}");
    }
}

/// A mark that is taken off and put on again stands in front of the same text, and is read the same.
pub(super) fn transit_mark(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(marked) = Marked::parse(text) else { return };
    assert!(marked.version >= 1 && text.ends_with(marked.body));
    assert_eq!(Marked::parse(&mark(marked.version, marked.body)), Ok(marked));
}

/// The cursor of a search of the audit log.
pub(super) fn audit_cursor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(position) = Position::parse(text) {
        assert_eq!(position.cursor(), text, "a cursor has two forms");
    }
}
