use std::path::Path;

use super::super::log::Head;
use super::super::signer::Signer;
use super::super::testing::Deployed;
use super::write::Writing;
use super::*;
use crate::archive::Name;
use crate::audit::event::{Event, Word};
use crate::audit::segment::{BYTES_MAX, Segment};
use crate::config;
use crate::storage::LogRow;
use crate::time::Clock as _;

const HOUR: Duration = Duration::from_hours(1);
const BEGIN: Timestamp = Timestamp(1_795_251_600_000_000_001);

/// Writes one event.
struct Step;

#[async_trait]
impl Attempt for Step {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("step"), "x".repeat(300)), false);
        Ok(Answer::Empty)
    }
}

/// A server with an archive in a folder.
struct Archiving {
    deployed: Deployed,
    folder: tempfile::TempDir,
    tenants: Arc<Tenants>,
    committer: Arc<Committer>,
    signer: Signer,
    archiver: Archiver,
}

fn archive(path: &Path, keep: Option<Duration>, retention: Option<Duration>) -> Arc<Archive> {
    let settings = config::Archive {
        to: config::ArchiveTarget::File { path: path.to_owned() },
        prefix: String::new(),
        interval: HOUR,
        keep_in_database: keep,
        retention,
        retention_min: Duration::ZERO,
        timeout: Duration::from_mins(1),
    };
    Arc::new(Archive::new(settings).unwrap())
}

impl Archiving {
    async fn new(keep: Option<Duration>, retention: Option<Duration>) -> Self {
        let (deployed, folder) = (Deployed::at(BEGIN).await, tempfile::tempdir().unwrap());
        let archive = archive(folder.path(), keep, retention);
        let tenants = deployed.tenants().await;
        tenants.set_archive(Arc::clone(&archive));
        let committer = Arc::new(Committer::start(Arc::clone(&tenants)).unwrap());
        let signer = Signer::new(Arc::clone(&committer));
        let archiver = Archiver::new(Arc::clone(&committer), archive);
        Self { deployed, folder, tenants, committer, signer, archiver }
    }

    /// Logs events, all of which are signed then.
    async fn work(&mut self, events: usize) {
        for _ in 0..events {
            self.committer.run(Arc::new(Step)).await.unwrap();
        }
        self.signer.round().await.unwrap();
    }

    fn later(&self, ago: Duration) {
        let now = self.deployed.clock.now();
        self.deployed.clock.set(Timestamp(now.0 + i64::try_from(ago.as_nanos()).unwrap()));
    }

    async fn objects(&self) -> Vec<Name> {
        let archive = self.tenants.archive().unwrap();
        archive.list(self.tenants.deployment(), self.tenants.root().id(), None).await.unwrap()
    }

    async fn object(&self, name: Name) -> Vec<u8> {
        self.tenants.archive().unwrap().get(self.tenants.deployment(), name, BYTES_MAX).await.unwrap()
    }

    /// Where a segment is on the disk.
    fn file(&self, name: Name) -> std::path::PathBuf {
        let place = format!("{}/{}/0/{:020}/{:020}", self.tenants.deployment(), name.tenant, name.first, name.end);
        self.folder.path().join(place)
    }

    async fn rows(&self) -> Vec<LogRow> {
        self.tenants.log_rows(self.tenants.root().id(), 1, 10_000).await.unwrap()
    }

    async fn pruned(&self) -> u64 {
        self.tenants.first_unpruned(self.tenants.root().id()).await.unwrap()
    }
}

#[tokio::test]
async fn what_is_signed_is_archived_once_and_proves_itself() {
    let mut server = Archiving::new(None, None).await;
    assert!(server.archiver.round().await, "nothing is signed yet");
    server.work(20).await;
    assert!(server.archiver.round().await);
    let first = server.objects().await;
    assert!(server.archiver.round().await);
    assert_eq!(server.objects().await, first);
    server.committer.run(Arc::new(Step)).await.unwrap();
    assert!(server.archiver.round().await);
    assert_eq!(server.objects().await, first, "an event that nobody signed waits");
    server.work(5).await;
    // Another server does the same.
    let mut other = Archiver::new(Arc::clone(&server.committer), Arc::clone(server.tenants.archive().unwrap()));
    let (one, two) = tokio::join!(server.archiver.round(), other.round());
    assert!(one && two);
    let all = server.objects().await;
    assert_eq!((all.len(), all[0], all[1].first), (2, first[0], first[0].end));
    let key = server.archiver.key().await.unwrap().unwrap();
    let mut rows = Vec::new();
    for name in all {
        let bytes = server.object(name).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("xxxxxxxx"), "events are sealed");
        let read = Segment::parse(&bytes).unwrap();
        assert_eq!((read.first_index(), read.after().size()), (name.first, name.end));
        assert!(read.prove(&key).unwrap().size >= name.end);
        rows.extend(segment::log_rows(read));
    }
    assert_eq!(rows, server.rows().await[..rows.len()], "every column is there");
    assert_eq!(
        rows.last().unwrap().tail.size(),
        server.tenants.archived(server.tenants.root().id()).await.unwrap().unwrap().size
    );
}

#[tokio::test]
async fn a_segment_that_was_written_and_not_written_down_is_taken_over() {
    let mut server = Archiving::new(None, None).await;
    server.work(10).await;
    let (tenants, root) = (Arc::clone(&server.tenants), server.tenants.root());
    let signed = tenants.checkpoints(root.id(), 0..=u64::MAX, true, 1).await.unwrap().remove(0);
    let key = server.archiver.key().await.unwrap().unwrap();
    let archive = Arc::clone(tenants.archive().unwrap());
    // As a server leaves it that ends between writing and remembering.
    let round = Round { archive: &archive, key, behind: 0, failed: false };
    let writing = Writing { tenants: &tenants, tenant: &root, epoch: 0, round: &round, signed: &signed };
    let (left, _) = writing.segment(&Head::genesis()).await.unwrap();
    server.work(10).await;
    assert!(server.archiver.round().await);
    let names = server.objects().await;
    assert_eq!(names.iter().map(|name| name.first).collect::<Vec<_>>(), [0, left.size]);
    // One that was cut off is written anew, over it or beside it.
    server.work(10).await;
    let from = names[1].end;
    let cut = Name { first: from, end: from + 3, ..names[1] };
    std::fs::create_dir_all(server.file(cut).parent().unwrap()).unwrap();
    std::fs::write(server.file(cut), b"strongroom segment 1\ncut").unwrap();
    assert!(server.archiver.round().await);
    let newest = tenants.archived(root.id()).await.unwrap().unwrap();
    assert_eq!(newest.first_index, from);
    assert!(newest.size > cut.end);
}

#[tokio::test]
async fn what_was_pruned_is_proved_and_read_as_before() {
    let mut server = Archiving::new(Some(HOUR), None).await;
    server.work(30).await;
    assert!(server.archiver.round().await);
    assert_eq!(server.pruned().await, 0, "it is too young");
    let (tenants, root) = (Arc::clone(&server.tenants), server.tenants.root());
    let before = server.rows().await;
    let end = tenants.archived(root.id()).await.unwrap().unwrap().size;
    let proof = tenants.subtree_root(root.id(), (0, 16)).await.unwrap();
    server.later(HOUR * 2);
    // The newest signed tree's last row is needed by whoever signs next.
    assert!(server.archiver.round().await);
    assert_eq!(server.pruned().await, 0);
    server.work(3).await;
    assert!(server.archiver.round().await);
    assert_eq!(server.pruned().await, end);
    let mut segments = Segments::default();
    for (row, before) in server.rows().await.iter().zip(&before) {
        assert_eq!(row.batch.is_empty(), before.tail.size() <= end);
        assert_eq!(row.tail, before.tail);
        assert_eq!(tenants.row_events(&root, row, &mut segments).await.unwrap(), root.events(before).unwrap());
    }
    assert_eq!(tenants.subtree_root(root.id(), (0, 16)).await.unwrap(), proof);
    let told = server
        .rows()
        .await
        .iter()
        .flat_map(|row| root.events(row).unwrap_or_default())
        .any(|event| String::from_utf8_lossy(&event).contains("archive-prune"));
    assert!(told, "the log says what left the database");
    // A server that starts now signs on.
    let mut signer = Signer::new(Arc::clone(&server.committer));
    server.committer.run(Arc::new(Step)).await.unwrap();
    signer.round().await.unwrap();
    assert!(tenants.checkpoints(root.id(), 0..=u64::MAX, true, 1).await.unwrap()[0].size > end + 3);
}

#[tokio::test]
async fn nothing_is_pruned_that_the_archive_does_not_give_back() {
    for damage in ["missing", "flipped", "another", "cut"] {
        let mut server = Archiving::new(Some(HOUR), None).await;
        server.work(10).await;
        assert!(server.archiver.round().await);
        let name = server.objects().await[0];
        let (file, bytes) = (server.file(name), server.object(name).await);
        let mut changed = bytes.clone();
        match damage {
            "missing" => std::fs::remove_file(&file).unwrap(),
            "flipped" => changed[bytes.len() / 2] ^= 1,
            "cut" => changed.truncate(bytes.len() - 1),
            _ => {
                // A whole segment that proves itself, of another stretch of the same log.
                let mut read = Segment::parse(&bytes).unwrap();
                read.rows.truncate(3);
                changed = read.encode();
            }
        }
        if damage != "missing" {
            std::fs::write(&file, &changed).unwrap();
        }
        server.later(HOUR * 2);
        server.work(2).await;
        assert!(!server.archiver.round().await, "{damage}");
        assert_eq!(server.pruned().await, 0, "{damage}");
        // It heals when the archive does.
        std::fs::write(&file, &bytes).unwrap();
        assert!(server.archiver.round().await, "{damage}");
        assert_eq!(server.pruned().await, name.end, "{damage}");
        // And from then on a damaged segment is told from an event.
        std::fs::write(&file, &changed).unwrap();
        if damage == "missing" {
            std::fs::remove_file(&file).unwrap();
        }
        let row = server.rows().await.remove(0);
        let root = server.tenants.root();
        let read = server.tenants.row_events(&root, &row, &mut Segments::default()).await;
        assert!(matches!(read, Err(Refusal::Internal(_))), "{damage}");
    }
}

#[tokio::test]
async fn an_archive_that_fails_is_tried_again_and_loses_nothing() {
    let mut server = Archiving::new(None, None).await;
    server.work(5).await;
    let away = server.folder.path().with_extension("away");
    std::fs::rename(server.folder.path(), &away).unwrap();
    assert!(!server.archiver.round().await);
    server.work(5).await;
    std::fs::rename(&away, server.folder.path()).unwrap();
    assert!(server.archiver.round().await);
    assert_eq!(server.objects().await.len(), 1);
}

#[tokio::test]
async fn what_is_past_its_retention_leaves_the_archive_once_it_left_the_database() {
    let mut server = Archiving::new(Some(HOUR), Some(HOUR * 3)).await;
    server.work(10).await;
    assert!(server.archiver.round().await);
    let first = server.objects().await[0];
    server.later(HOUR * 2);
    server.work(10).await;
    assert!(server.archiver.round().await);
    let all = server.objects().await;
    assert_eq!((server.pruned().await, all[0]), (first.end, first));
    server.later(HOUR * 2);
    server.work(2).await;
    assert!(server.archiver.round().await);
    assert!(server.objects().await.contains(&first), "somebody may be reading it");
    assert!(server.archiver.round().await);
    let left = server.objects().await;
    assert!(!left.contains(&first) && left.contains(&all[1]), "{left:?}");
    let root = server.tenants.root();
    let read = server.tenants.row_events(&root, &server.rows().await[0], &mut Segments::default()).await;
    assert!(matches!(read, Err(Refusal::Internal(_))));
    // What a server did not come to after it had said so is done by the next one.
    std::fs::create_dir_all(server.file(first).parent().unwrap()).unwrap();
    std::fs::write(server.file(first), b"left").unwrap();
    let mut other = Archiver::new(Arc::clone(&server.committer), Arc::clone(server.tenants.archive().unwrap()));
    assert!(other.round().await && other.round().await);
    assert!(!server.objects().await.contains(&first));
}
