use super::*;
use crate::config::ArchiveTarget;

const DEPLOYMENT: DeploymentId = DeploymentId([1; 16]);
const TENANT: TenantId = TenantId([2; 16]);

fn archive(path: &std::path::Path) -> Archive {
    let settings = Settings {
        to: ArchiveTarget::File { path: path.to_owned() },
        prefix: "some/where".to_owned(),
        interval: Duration::from_secs(1),
        keep_in_database: None,
        retention: None,
        retention_min: Duration::ZERO,
        timeout: Duration::from_secs(30),
    };
    Archive::new(settings).unwrap()
}

fn name(first: u64, end: u64) -> Name {
    Name { tenant: TENANT, epoch: 0, first, end }
}

#[tokio::test]
async fn objects_are_read_back_listed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let other = Name { tenant: TenantId([3; 16]), ..name(0, 5) };
    for (name, text) in [(name(0, 5), "a"), (name(0, 7), "b"), (name(7, 9), "c"), (other, "d")] {
        archive.put(DEPLOYMENT, name, text.into()).await.unwrap();
    }
    archive.put(DEPLOYMENT, name(0, 5), "again".into()).await.unwrap();
    assert_eq!(archive.get(DEPLOYMENT, name(0, 5), 5).await.unwrap(), b"again");
    assert!(matches!(archive.get(DEPLOYMENT, name(0, 5), 4).await, Err(ArchiveError::TooLarge(_))));
    assert!(matches!(archive.get(DEPLOYMENT, name(0, 6), 5).await, Err(ArchiveError::Missing(_))));
    assert_eq!(archive.list(DEPLOYMENT, TENANT, None).await.unwrap(), [name(0, 5), name(0, 7), name(7, 9)]);
    assert_eq!(archive.list(DEPLOYMENT, TENANT, Some((0, 0))).await.unwrap(), [name(0, 5), name(0, 7)]);
    assert_eq!(archive.list(DeploymentId([9; 16]), TENANT, None).await.unwrap(), []);
    // Another program's file is no segment.
    let at = folder.path().join(format!("some/where/{DEPLOYMENT}/{TENANT}/0"));
    std::fs::write(at.join("README"), "hello").unwrap();
    for name in [name(0, 5), name(0, 5), name(0, 7), name(7, 9)] {
        archive.delete(DEPLOYMENT, name).await.unwrap();
    }
    assert_eq!(archive.list(DEPLOYMENT, TENANT, None).await.unwrap(), []);
    assert!(at.join("README").exists());
    assert_eq!(archive.get(DEPLOYMENT, other, 1).await.unwrap(), b"d");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made_and_is_used_once_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mounted");
    let archive = archive(&path);
    assert!(matches!(archive.put(DEPLOYMENT, name(0, 1), vec![1]).await, Err(ArchiveError::Settings("file", _))));
    assert!(!path.exists());
    std::fs::create_dir(&path).unwrap();
    archive.put(DEPLOYMENT, name(0, 1), vec![1]).await.unwrap();
    assert_eq!(archive.get(DEPLOYMENT, name(0, 1), 1).await.unwrap(), [1]);
}

#[test]
fn names_of_others_are_none() {
    let number = |number: u64| format!("{number:020}");
    assert_eq!(parse(TENANT, &format!("a/b/0/{}/{}", number(3), number(4))), Some(name(3, 4)));
    for path in [
        format!("a/b/0/{}/{}", number(4), number(4)),
        format!("a/b/0/{}/4", number(3)),
        format!("a/b/00/{}/{}", number(3), number(4)),
        format!("{}/+{}", number(3), &number(4)[1..]),
        number(4),
        String::new(),
    ] {
        assert_eq!(parse(TENANT, &path), None, "{path}");
    }
}

/// Nobody is called for that: whether the credentials are good shows with the first segment.
#[test]
fn clients_of_all_providers_are_made_of_their_settings() {
    let endpoint = || Some("http://127.0.0.1:9".to_owned());
    let key = |text: &str| crate::secret::SecretText::new(text.to_owned());
    let (bucket, region) = ("b".to_owned(), Some("eu-central-1".to_owned()));
    for to in [
        ArchiveTarget::S3 { bucket: bucket.clone(), region, endpoint: endpoint(), key: Some(("id".to_owned(), key("secret"))) },
        ArchiveTarget::Gcs { bucket, credentials_file: None, endpoint: endpoint() },
        ArchiveTarget::Azure {
            container: "c".to_owned(),
            account: Some("a".to_owned()),
            access_key: Some(key("aGVsbG8=")),
            endpoint: endpoint(),
        },
    ] {
        assert!(target::open(&to, Duration::from_secs(1)).is_ok(), "{}", to.kind());
    }
}
