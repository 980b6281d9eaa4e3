//! Who cosigns the log of the deployment, and what of it is cosigned by as many of them as have to.

use std::sync::Arc;

use super::super::faults::store_refusal;
use super::super::tenants::Tenants;
use crate::answer::Refusal;
use crate::audit::cosignature::WitnessKey;
use crate::config;
use crate::outbound::{Outbound, Poster};
use crate::storage::{Cosignature, DeploymentTree};

/// The newest cosignatures that are looked through for a tree that enough witnesses have cosigned.
const COSIGNATURES_MAX: usize = 1_000;

/// A witness cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("witness \"{0}\": {1}")]
pub struct WitnessesError(String, String);

/// The witnesses of this server's configuration.
#[derive(Default)]
pub struct Witnesses {
    pub(super) all: Vec<Arc<Witness>>,
    /// How many must have cosigned a tree.
    required: usize,
}

/// One of them.
pub(super) struct Witness {
    pub(super) name: String,
    pub(super) key: WitnessKey,
    pub(super) poster: Poster,
}

impl Witnesses {
    /// Calls nobody yet.
    ///
    /// # Errors
    /// A key is none, a file cannot be read, or a URL may not be called.
    pub fn new(settings: config::Witnesses, outbound: &Outbound) -> Result<Self, WitnessesError> {
        let config::Witnesses { all, required } = settings;
        let all = all.into_iter().map(|settings| witness(settings, outbound).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(Self { all, required })
    }

    /// How many must have cosigned a tree.
    pub fn required(&self) -> usize {
        self.required
    }

    /// Their names, with their keys.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &WitnessKey)> {
        self.all.iter().map(|witness| (witness.name.as_str(), &witness.key))
    }

    /// One at least, where there are some.
    fn wanted(&self) -> usize {
        self.required.max(usize::from(!self.all.is_empty()))
    }

    fn has(&self, cosignature: &Cosignature) -> bool {
        self.all.iter().any(|witness| witness.key.to_string() == cosignature.witness)
    }
}

fn witness(settings: config::Witness, outbound: &Outbound) -> Result<Witness, WitnessesError> {
    let config::Witness { name, url, key, ca_file } = settings;
    let wrong = |text: String| WitnessesError(name.clone(), text);
    let key = WitnessKey::parse(&key).ok_or_else(|| wrong("its key is not that of a witness, NAME+ID+BASE64".to_owned()))?;
    let read = ca_file.map(|file| std::fs::read_to_string(&file).map_err(|error| wrong(format!("{}: {error}", file.display()))));
    let to = outbound.check(&format!("{url}/add-checkpoint")).map_err(|error| wrong(error.to_string()))?;
    let poster = Poster::new(&to, read.transpose()?.as_deref(), &[]).map_err(|error| wrong(error.to_string()))?;
    Ok(Witness { name, key, poster })
}

/// A signed tree of the deployment's log, and what witnesses have cosigned of it.
pub struct Cosigned {
    /// The tree.
    pub tree: DeploymentTree,
    /// Of witnesses that are configured now.
    pub cosignatures: Vec<Cosignature>,
}

impl Cosigned {
    /// The signed note, with the lines of witnesses behind that of the log.
    pub fn note(&self) -> Vec<u8> {
        let mut note = self.tree.note.clone();
        self.cosignatures.iter().for_each(|cosignature| note.extend_from_slice(cosignature.line.as_bytes()));
        note
    }
}

impl Tenants {
    /// Says who cosigns. The first word counts.
    pub fn set_witnesses(&self, witnesses: Arc<Witnesses>) {
        self.witnesses.get_or_init(|| witnesses);
    }

    /// Who cosigns.
    pub fn witnesses(&self) -> Option<&Arc<Witnesses>> {
        self.witnesses.get()
    }

    /// The newest tree of the deployment's log that as many witnesses have cosigned as have to, and one at least where there are
    /// some; the newest of all as long as there is none.
    pub async fn cosigned(&self) -> Result<Option<Cosigned>, Refusal> {
        let found = match self.witnesses() {
            Some(witnesses) => self.cosigned_by(witnesses).await?,
            None => None,
        };
        let (size, cosignatures) = found.unwrap_or((u64::MAX, Vec::new()));
        Ok(self.deployment_tree(size).await?.map(|tree| Cosigned { tree, cosignatures }))
    }

    async fn cosigned_by(&self, witnesses: &Witnesses) -> Result<Option<(u64, Vec<Cosignature>)>, Refusal> {
        if witnesses.wanted() == 0 {
            return Ok(None);
        }
        let newest = self.newest_cosignatures().await?;
        let own: Vec<Cosignature> = newest.into_iter().filter(|cosignature| witnesses.has(cosignature)).collect();
        let mut trees = own.chunk_by(|one, other| one.size == other.size);
        let found = trees.find(|tree| tree.len() >= witnesses.wanted());
        Ok(found.and_then(|tree| Some((tree.first()?.size, tree.to_vec()))))
    }

    pub(super) async fn newest_cosignatures(&self) -> Result<Vec<Cosignature>, Refusal> {
        let found = self.store().cosignatures(self.root().id(), COSIGNATURES_MAX).await;
        found.map_err(|error| store_refusal(&error))
    }
}
