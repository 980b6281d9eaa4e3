use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::record::Record as _;

/// What a secret is to somebody who has never heard of metadata: values in a map, the oldest falling out.
#[derive(Default)]
struct Naive {
    versions: BTreeMap<u64, NaiveVersion>,
    newest: u64,
    max_versions: u64,
    delete_after: u64,
    cas_required: bool,
}

struct NaiveVersion {
    value: Option<u64>,
    created: Timestamp,
    deleted_from: Option<Timestamp>,
}

impl Naive {
    fn write(&mut self, config: &KvConfig, now: Timestamp, cas: Option<i64>) -> Option<u64> {
        let required = self.cas_required || config.settings.cas_required;
        if cas.map_or(required, |cas| i128::from(cas) != i128::from(self.newest)) {
            return None;
        }
        self.newest += 1;
        let seconds = match (self.delete_after, config.settings.delete_version_after_seconds) {
            (0, mount) => mount,
            (secret, 0) => secret,
            (secret, mount) => secret.min(mount),
        };
        let deleted_from = (seconds > 0 && !config.delete_version_after_disabled).then(|| now.plus(Duration::from_secs(seconds)));
        self.versions.insert(self.newest, NaiveVersion { value: Some(self.newest), created: now, deleted_from });
        let limit = self.max_versions.max(config.settings.max_versions);
        let limit = if limit == 0 { 10 } else { usize::try_from(limit).unwrap() };
        while self.versions.len() > limit {
            self.versions.pop_first();
        }
        Some(self.newest)
    }

    fn read(&self, number: u64, now: Timestamp) -> Option<u64> {
        let version = self.versions.get(&number)?;
        if version.deleted_from.is_some_and(|from| from <= now) { None } else { version.value }
    }

    fn delete(&mut self, number: u64, now: Timestamp) {
        let readable = self.read(number, now).is_some();
        if let Some(version) = self.versions.get_mut(&number).filter(|_| readable) {
            version.deleted_from = Some(now);
        }
    }

    fn undelete(&mut self, number: u64) {
        if let Some(version) = self.versions.get_mut(&number).filter(|version| version.value.is_some()) {
            version.deleted_from = None;
        }
    }

    fn destroy(&mut self, number: u64) {
        if let Some(version) = self.versions.get_mut(&number) {
            version.value = None;
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Option<i64>),
    /// Check-and-set against the current version.
    WriteCurrent,
    DeleteLatest,
    Delete(Vec<u64>),
    Undelete(Vec<u64>),
    Destroy(Vec<u64>),
    Secret {
        max_versions: u64,
        delete_after: u64,
        cas_required: bool,
    },
    Mount {
        max_versions: u64,
        delete_after: u64,
        cas_required: bool,
        never: bool,
    },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let numbers = || prop::collection::vec(0..16_u64, 0..4);
    prop_oneof![
        4 => prop::option::of(-1..14_i64).prop_map(Step::Write),
        6 => Just(Step::WriteCurrent),
        2 => Just(Step::DeleteLatest),
        2 => numbers().prop_map(Step::Delete),
        2 => numbers().prop_map(Step::Undelete),
        2 => numbers().prop_map(Step::Destroy),
        1 => (0..5_u64, 0..4_u64, prop::bool::weighted(0.2)).prop_map(|(max_versions, delete_after, cas_required)| {
            Step::Secret { max_versions, delete_after, cas_required }
        }),
        1 => (0..5_u64, 0..4_u64, prop::bool::weighted(0.2), prop::bool::weighted(0.2)).prop_map(
            |(max_versions, delete_after, cas_required, never)| Step::Mount { max_versions, delete_after, cas_required, never }
        ),
        3 => (0..3_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// After any history, every version reads as the naive model has it, and exactly the values are stored that must be.
    #[test]
    fn versions_behave_as_a_map(steps in prop::collection::vec(step(), 0..60)) {
        let mut now = Timestamp(0);
        let mut config = KvConfig::default();
        let mut naive = Naive::default();
        let mut metadata = KvMetadata::new(now);
        // What the store holds: the number stands for the value.
        let mut stored: BTreeMap<u64, u64> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Write(_) | Step::WriteCurrent => {
                    let cas = if let Step::Write(cas) = step { cas } else { i64::try_from(metadata.current_version).ok() };
                    let expected = naive.write(&config, now, cas);
                    let allowed = metadata.check_cas(&config, cas).is_ok();
                    prop_assert_eq!(allowed, expected.is_some());
                    if allowed {
                        let added = metadata.add_version(&config, now);
                        prop_assert_eq!(Some(added.number), expected);
                        prop_assert!(stored.insert(added.number, added.number).is_none());
                        for dropped in added.dropped {
                            prop_assert!(stored.remove(&dropped).is_some(), "dropped twice");
                        }
                    }
                }
                Step::DeleteLatest => {
                    metadata.delete(&[metadata.current_version], now);
                    naive.delete(naive.newest, now);
                }
                Step::Delete(numbers) => {
                    metadata.delete(&numbers, now);
                    for number in &numbers {
                        naive.delete(*number, now);
                    }
                }
                Step::Undelete(numbers) => {
                    metadata.undelete(&numbers);
                    for number in &numbers {
                        naive.undelete(*number);
                    }
                }
                Step::Destroy(numbers) => {
                    for number in metadata.destroy(&numbers) {
                        prop_assert!(stored.remove(&number).is_some(), "destroyed twice");
                    }
                    for number in &numbers {
                        naive.destroy(*number);
                    }
                }
                Step::Secret { max_versions, delete_after, cas_required } => {
                    let settings = Settings { max_versions, cas_required, delete_version_after_seconds: delete_after, ..Settings::default() };
                    metadata.settings = settings;
                    (naive.max_versions, naive.delete_after, naive.cas_required) = (max_versions, delete_after, cas_required);
                }
                Step::Mount { max_versions, delete_after, cas_required, never } => {
                    let settings = Settings { max_versions, cas_required, delete_version_after_seconds: delete_after, ..Settings::default() };
                    config = KvConfig { settings, delete_version_after_disabled: never };
                }
                Step::Wait(seconds) => now = now.plus(Duration::from_secs(seconds)),
            }
            prop_assert_eq!(metadata.current_version, naive.newest);
            prop_assert_eq!(metadata.versions.keys().collect::<Vec<_>>(), naive.versions.keys().collect::<Vec<_>>());
            prop_assert_eq!(metadata.stored(), stored.keys().copied().collect::<Vec<_>>());
            if let Some(oldest) = metadata.versions.keys().next().filter(|_| metadata.oldest_version > 0) {
                prop_assert_eq!(metadata.oldest_version, *oldest);
            }
            for number in 0..=naive.newest + 1 {
                let read = metadata.versions.get(&number).filter(|version| version.readable(now));
                let value = read.and_then(|_| stored.get(&number)).copied();
                prop_assert_eq!(value, naive.read(number, now));
                prop_assert_eq!(metadata.versions.get(&number).map(|version| version.created), naive.versions.get(&number).map(|version| version.created));
            }
            let payload = metadata.encode();
            prop_assert_eq!(&KvMetadata::decode(payload).unwrap(), &metadata);
        }
    }
}

fn text(refusal: Result<(), Refusal>) -> String {
    match refusal {
        Err(Refusal::Invalid(text)) => text,
        _ => String::new(),
    }
}

#[test]
fn check_and_set_refuses_with_the_texts_that_clients_match() {
    let mut config = KvConfig::default();
    let mut metadata = KvMetadata::new(Timestamp(0));
    assert!(metadata.check_cas(&config, Some(0)).is_ok());
    metadata.add_version(&config, Timestamp(1));
    for wrong in [0, 2, -1, i64::MIN, i64::MAX] {
        assert_eq!(text(metadata.check_cas(&config, Some(wrong))), "check-and-set parameter did not match the current version");
    }
    assert!(metadata.check_cas(&config, Some(1)).is_ok());
    assert!(metadata.check_cas(&config, None).is_ok());
    config.settings.cas_required = true;
    assert_eq!(text(metadata.check_cas(&config, None)), "check-and-set parameter required for this call");
    config.settings.cas_required = false;
    metadata.settings.cas_required = true;
    assert_eq!(text(metadata.check_cas(&config, None)), "check-and-set parameter required for this call");
}

#[test]
fn metadata_has_a_counter_of_its_own() {
    let mut config = KvConfig::default();
    let mut metadata = KvMetadata::new(Timestamp(0));
    metadata.add_version(&config, Timestamp(1));
    assert!(metadata.check_metadata_cas(&config, Some(0)).is_ok());
    metadata.metadata_version = 1;
    let wrong = text(metadata.check_metadata_cas(&config, Some(0)));
    assert_eq!(wrong, "metadata check-and-set parameter does not match the current version");
    config.settings.metadata_cas_required = true;
    assert_eq!(text(metadata.check_metadata_cas(&config, None)), "metadata check-and-set parameter required for this call");
    assert!(metadata.check_metadata_cas(&config, Some(1)).is_ok());
}

#[test]
fn the_newest_version_is_found_by_no_number_and_by_zero() {
    let config = KvConfig::default();
    let mut metadata = KvMetadata::new(Timestamp(0));
    assert_eq!(metadata.version(None), None);
    metadata.add_version(&config, Timestamp(1));
    metadata.add_version(&config, Timestamp(2));
    let number = |wanted| metadata.version(wanted).map(|(number, _)| number);
    assert_eq!((number(None), number(Some(0)), number(Some(1)), number(Some(3))), (Some(2), Some(2), Some(1), None));
}

#[test]
fn times_are_those_of_the_metadata_and_of_the_newest_version() {
    let config = KvConfig::default();
    let mut metadata = KvMetadata::new(Timestamp(5));
    metadata.add_version(&config, Timestamp(7));
    metadata.delete(&[1], Timestamp(9));
    assert_eq!((metadata.created, metadata.updated), (Timestamp(5), Timestamp(7)));
}

#[test]
fn a_version_is_deleted_from_the_very_moment_on() {
    let config = KvConfig::default();
    let mut metadata = KvMetadata::new(Timestamp(0));
    metadata.add_version(&config, Timestamp(1));
    assert!(metadata.delete(&[1, 2, 0], Timestamp(3)));
    let (_, version) = metadata.version(None).unwrap();
    assert!(!version.readable(Timestamp(3)));
    assert!(!metadata.delete(&[1], Timestamp(4)), "deleted already");
    assert_eq!(metadata.version(None).unwrap().1.deletion, Some(Timestamp(3)));
}

#[test]
fn values_pass_through_their_record_unchanged() {
    let text = br#"{ "a" : 1.50 }"#;
    let record = KvVersion(SecretBytes::new(text.to_vec()));
    let read = KvVersion::decode(record.encode()).unwrap();
    assert_eq!(read.0.expose(), text);
    let address = KvVersion::address(MountId([1; 16]), ObjectId([2; 16]), 3);
    assert_eq!(address.name, format!("{}/3", "02".repeat(16)));
}
