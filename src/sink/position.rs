//! How far a sink has come in each log, in a file of its own. One line for each step, so that a batch costs a short append:
//!
//!     strongroom sink 1 DEPLOYMENT
//!     TENANT ROW EVENTS CHECK
//!
//! `TENANT` is 32 hexadecimal digits, `ROW` the last row of its log that was delivered, `EVENTS` how many events those are, and
//! `CHECK` the beginning of the SHA-256 of the line before it: a line that was cut off counts for nothing. The last line of a
//! tenant counts. The file is written anew, in one step, when most of its lines are old.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::crypto::sha256;
use crate::id::{DeploymentId, TenantId};

/// Lines that are too many for so many tenants: then the file is written anew.
const LINES_SPARE: usize = 4_096;
/// The longest file that is read: of a million tenants.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Up to where a log was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Its last row, from 1; 0 when none was.
    pub(super) seq: u64,
    /// How many events.
    pub(super) events: u64,
}

/// The positions of one sink.
pub(super) struct Positions {
    path: PathBuf,
    deployment: DeploymentId,
    file: Option<File>,
    lines: usize,
    known: HashMap<TenantId, Position>,
}

impl Positions {
    /// Reads the file; it begins with the first row of every log when there is none.
    pub(super) fn open(path: &Path, deployment: DeploymentId) -> io::Result<Self> {
        let mut positions = Self { path: path.to_owned(), deployment, file: None, lines: 0, known: HashMap::new() };
        match File::open(path) {
            Ok(file) => {
                let mut text = String::new();
                file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
                positions.parse(&text)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        positions.rewrite()?;
        Ok(positions)
    }

    /// Where the sink stands in every log that it has heard of.
    pub(super) fn known(&self) -> &HashMap<TenantId, Position> {
        &self.known
    }

    /// Writes steps down, and returns when they are durable.
    pub(super) fn save(&mut self, steps: &[(TenantId, Position)]) -> io::Result<()> {
        if self.file.is_none() || self.lines + steps.len() > 2 * self.known.len() + LINES_SPARE {
            self.known.extend(steps.iter().copied());
            return self.rewrite();
        }
        let text: String = steps.iter().map(|(tenant, position)| line(*tenant, *position)).collect();
        if let Some(file) = &mut self.file {
            let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
            if written.is_err() {
                // Part of it may be there: the next time all of it is written anew.
                self.file = None;
            }
            written?;
        }
        self.lines += steps.len();
        self.known.extend(steps.iter().copied());
        Ok(())
    }

    /// Forgets tenants that are gone.
    pub(super) fn forget(&mut self, tenants: &[TenantId]) -> io::Result<()> {
        let before = self.known.len();
        self.known.retain(|tenant, _| !tenants.contains(tenant));
        if self.known.len() == before { Ok(()) } else { self.rewrite() }
    }

    fn header(&self) -> String {
        format!("strongroom sink 1 {}\n", data_encoding::HEXLOWER.encode(&self.deployment.0))
    }

    fn parse(&mut self, text: &str) -> io::Result<()> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        if text.is_empty() {
            return Ok(());
        }
        let rest = text.strip_prefix(&self.header());
        let rest = rest.ok_or_else(|| wrong("it is no position of a sink of this deployment"))?;
        for text in rest.lines() {
            // One that does not check was cut off when the server ended; the one before it counts.
            if let Some((tenant, position)) = parse_line(text) {
                self.known.insert(tenant, position);
            }
        }
        Ok(())
    }

    /// In one step: what is there is whole, before and after.
    fn rewrite(&mut self) -> io::Result<()> {
        self.file = None;
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let mut options = OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        let lines = self.known.iter().map(|(tenant, position)| line(*tenant, *position));
        let text: String = std::iter::once(self.header()).chain(lines).collect();
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        (self.file, self.lines) = (Some(file), self.known.len());
        Ok(())
    }
}

fn line(tenant: TenantId, position: Position) -> String {
    let text = format!("{} {} {}", data_encoding::HEXLOWER.encode(&tenant.0), position.seq, position.events);
    let check = check(&text);
    format!("{text} {check}\n")
}

fn check(text: &str) -> String {
    data_encoding::HEXLOWER.encode(sha256(&[text.as_bytes()]).get(..4).unwrap_or_default())
}

fn parse_line(line: &str) -> Option<(TenantId, Position)> {
    let (text, found) = line.rsplit_once(' ')?;
    let mut parts = text.split(' ');
    let tenant = data_encoding::HEXLOWER.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?;
    let position = Position { seq: parts.next()?.parse().ok()?, events: parts.next()?.parse().ok()? };
    (found == check(text)).then_some((TenantId(tenant), position))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: DeploymentId = DeploymentId([7; 16]);

    fn at(seq: u64) -> Position {
        Position { seq, events: seq * 2 }
    }

    #[test]
    fn positions_outlive_the_process_and_a_line_that_was_cut_off_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        let (first, second) = (TenantId([1; 16]), TenantId([2; 16]));
        let mut positions = Positions::open(&path, DEPLOYMENT).unwrap();
        positions.save(&[(first, at(1)), (second, at(5))]).unwrap();
        positions.save(&[(first, at(2))]).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        for cut in 1..40 {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let known = Positions::open(&path, DEPLOYMENT).unwrap().known().clone();
            let expected = if cut == 1 { at(2) } else { at(1) };
            assert_eq!((known[&first], known[&second]), (expected, at(5)), "{cut} bytes less");
        }
        std::fs::write(&path, &whole).unwrap();
        let mut positions = Positions::open(&path, DEPLOYMENT).unwrap();
        positions.forget(&[second]).unwrap();
        assert_eq!(Positions::open(&path, DEPLOYMENT).unwrap().known().len(), 1);
        assert!(Positions::open(&path, DeploymentId([8; 16])).is_err(), "of another deployment");
        std::fs::write(&path, "something else\n").unwrap();
        assert!(Positions::open(&path, DEPLOYMENT).is_err());
    }

    #[test]
    fn the_file_stays_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        let mut positions = Positions::open(&path, DEPLOYMENT).unwrap();
        for seq in 1..=200 {
            let steps: Vec<_> = (0..50_u8).map(|tenant| (TenantId([tenant; 16]), at(seq))).collect();
            positions.save(&steps).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap().lines().count() < 3 * LINES_SPARE / 2);
        assert!(Positions::open(&path, DEPLOYMENT).unwrap().known().values().all(|position| *position == at(200)));
    }
}
