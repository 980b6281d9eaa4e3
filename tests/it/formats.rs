//! Holds `docs/FORMATS.md` to the sources that it names, and the sizes in it to what is made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use strongroom::audit::batch::BatchEncoder;
use strongroom::audit::cursor::Position;
use strongroom::audit::merkle::{Frontier, leaf_hash};
use strongroom::crypto::{Keyring, RecoveryKey, RootKey, Subject, TenantKey, WrapContext};
use strongroom::id::{DeploymentId, MountId, ObjectId, TenantId};
use strongroom::record::{Address, Kind};
use strongroom::reference::Reference;
use strongroom::seal::shamir;
use strongroom::secret::SecretBytes;
use strongroom::time::Timestamp;

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs of blanks are one.
fn plain(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines that are set apart stand in the comments of the file that is named above them.
#[test]
fn formats_are_described_as_in_their_sources() {
    let (mut source, mut named, mut checked) = (String::new(), String::new(), 0);
    for line in file("docs/FORMATS.md").lines() {
        if let Some(name) = line.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
            name.clone_into(&mut named);
            let comments = file(&format!("src/{name}"));
            source = comments
                .lines()
                .filter_map(|line| line.trim_start().strip_prefix("//!"))
                .map(plain)
                .collect::<Vec<_>>()
                .join("\n");
        } else if line.starts_with("    ") && line.contains(['‖', '⏎', '=']) {
            assert!(source.contains(&plain(line)), "{named} does not say: {line}");
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} lines were checked");
}

/// Every label that something is derived with is in the document.
#[test]
fn labels_of_keys_are_listed() {
    let document = file("docs/FORMATS.md");
    for name in ["keyring", "keys", "envelope", "sealed_box", "batch", "batch_token", "login_state", "recovery", "backup"] {
        for part in file(&format!("src/crypto/{name}.rs")).split("b\"").skip(1) {
            let label = part.split('"').next().unwrap();
            assert!(
                !label.starts_with("strongroom v1 ") || document.contains(&format!("`{label}`")),
                "{name}.rs: {label} is not listed"
            );
        }
    }
}

#[test]
fn sizes_are_those_of_what_is_made() {
    let (deployment, tenant, generation) = (DeploymentId::random(), TenantId::random(), 1);
    let context = WrapContext { deployment, tenant, generation };
    let (root, tenant_key) = (RootKey::generate(), TenantKey::generate());
    let mut keyring = Keyring::generate(deployment, tenant);
    let address = Address { kind: Kind::KvSecret, mount: MountId::random(), directory: String::new(), name: "a".into() };
    let (key, directory) = (keyring.record_key(&address), keyring.dir_key(Kind::KvSecret, address.mount, ""));
    let subject = Subject { kind: Kind::KvSecret, object: ObjectId::random(), version: 1, key, directory, expires_at: None };
    let record = |bytes: usize| keyring.seal_record(&subject, &SecretBytes::new(vec![b'x'; bytes])).len();
    let name = |bytes: usize| keyring.seal_name(&key, &directory, &"x".repeat(bytes)).len();
    assert_eq!((name(0), name(32)), (name(31), name(63)));
    let batch = |bytes: usize| keyring.seal_batch(&vec![b'x'; bytes]).len();
    assert!(batch(0) == batch(248) && batch(249) > batch(248));
    assert!(BatchEncoder::new().unwrap().encode([&b"{}"[..]]).unwrap().len() < 248);
    let mut tree = Frontier::new();
    (0..5_u8).for_each(|entry| tree.push(leaf_hash(&[entry])));
    let shares = |shares, threshold| shamir::split(&root, shares, threshold).unwrap().1[0].len();
    let mut sizes = BTreeMap::from([
        ("sealed record, of nothing", record(0)),
        ("sealed record, of 1,000 bytes", record(1000)),
        ("sealed name, of up to 31 bytes", name(31)),
        ("sealed name, of 32 to 63 bytes", name(32)),
        ("key of a record or directory", key.0.len()),
        ("tenant key, wrapped by a key file or shares", root.wrap(&tenant_key.secret(), &context).len()),
        ("commitment to a tenant key", tenant_key.commitment().len()),
        ("log batch, of up to 248 compressed bytes", batch(248)),
        ("leaf or node of the tree", leaf_hash(b"").len()),
        ("stored tree of 5 events", tree.to_bytes().len()),
        ("key share", shares(5, 3)),
        ("key share, one of one", shares(1, 1)),
        ("reference, characters", Reference::random().as_str().len()),
        ("cursor of a search, characters", Position { time: Timestamp(1), tenant, index: 1 }.cursor().len()),
        ("deployment, tenant, object, mount id", tenant.0.len()),
    ]);
    let (_, public) = RecoveryKey::generate().unwrap();
    sizes.insert("tenant key, wrapped by the recovery key", public.wrap(&tenant_key.secret(), &context).unwrap().len());
    let first = keyring.seal(&tenant_key, generation).len();
    keyring.add_wrapping_key().unwrap();
    sizes.insert("keyring with one wrapping key", first);
    sizes.insert("each further wrapping key", keyring.seal(&tenant_key, generation).len() - first);

    let document = file("docs/FORMATS.md");
    let section = document.split("## Sizes").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let documented: BTreeMap<&str, usize> = rows.filter_map(|(what, bytes)| Some((what, bytes.parse().ok()?))).collect();
    assert_eq!(documented, sizes);
}
