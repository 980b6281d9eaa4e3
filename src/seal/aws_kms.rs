//! The seal `awskms`: a symmetric key of AWS KMS, which never leaves it.
//!
//! A wrap is what KMS's `Encrypt` gave, as it is. KMS binds it to an encryption context (`deployment`, `tenant`, `generation`),
//! which shows in `CloudTrail` and may be asked for in the key's policy. `Decrypt` names the configured key: a wrap that somebody
//! made with a key of their own does not open. So an alias must not be moved to another key; list that as a seal of its own.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::{Blob, DateTime};
use aws_sdk_kms::types::KeyMetadata;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use super::{KeyFate, Seal, SealError, printable};
use crate::crypto::WrapContext;
use crate::secret::SecretBytes;
use crate::time::Timestamp;

/// How often one call is tried within its time.
const ATTEMPTS_MAX: u32 = 3;
/// The first pause between two tries; the next ones grow.
const BACKOFF: Duration = Duration::from_millis(100);

/// What KMS says when it will not; everything else may pass.
const REFUSALS: [&str; 13] = [
    "AccessDeniedException",
    "DisabledException",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidKeyUsageException",
    "InvalidSignatureException",
    "KMSInvalidStateException",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "NotFoundException",
    "OptInRequired",
    "UnrecognizedClientException",
];
/// What KMS says of a wrap that is damaged, in another place, or of another key.
const UNFIT: [&str; 2] = ["InvalidCiphertextException", "IncorrectKeyException"];

/// Which key, and how to reach it.
pub struct AwsKmsSettings {
    /// Id, ARN or alias of the key.
    pub key: String,
    /// Where it is; from the environment or the profile when it is not said.
    pub region: Option<String>,
    /// Another address than the region's.
    pub endpoint: Option<String>,
    /// The longest that one call may take, repetitions included.
    pub timeout: Duration,
    /// Keys that tenants may choose for themselves.
    pub allowed_keys: Vec<String>,
}

/// A key of AWS KMS.
pub struct AwsKms {
    name: String,
    key: String,
    client: Client,
    allowed_keys: Vec<String>,
    /// Of a tenant's own key: the one of the deployment, which must not be destroyed with it.
    main: Option<String>,
}

impl AwsKms {
    /// Prepares the client. Credentials come from the SDK's standard chain, and are looked for when they are needed.
    pub async fn new(name: String, settings: AwsKmsSettings) -> Self {
        let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(settings.timeout / 2)
            .operation_attempt_timeout(settings.timeout / 2)
            .operation_timeout(settings.timeout)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX).with_initial_backoff(BACKOFF));
        if let Some(region) = settings.region {
            loader = loader.region(Region::new(region));
        }
        if let Some(endpoint) = settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let client = Client::new(&loader.load().await);
        Self { name, key: settings.key, client, allowed_keys: settings.allowed_keys, main: None }
    }

    fn failed<E>(&self, error: &SdkError<E>) -> SealError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let seal = self.name.clone();
        let Some(code) = error.code() else {
            return SealError::Unavailable { seal, reason: printable(&chain(error)) };
        };
        if UNFIT.contains(&code) {
            return SealError::DoesNotOpen { seal };
        }
        let reason = printable(&format!("{code}: {} (key {})", error.message().unwrap_or("no reason given"), self.key));
        if REFUSALS.contains(&code) { SealError::Refused { seal, reason } } else { SealError::Unavailable { seal, reason } }
    }

    /// The answer came, and is not one.
    fn nonsense(&self, what: &str) -> SealError {
        SealError::Unavailable { seal: self.name.clone(), reason: format!("the answer {what}") }
    }

    /// What KMS says of a key; none when it has no such key.
    async fn described(&self, key: &str) -> Result<Option<KeyMetadata>, SealError> {
        match self.client.describe_key().key_id(key).send().await {
            Ok(answer) => answer.key_metadata.map(Some).ok_or_else(|| self.nonsense("says nothing of the key")),
            Err(error) if error.code() == Some("NotFoundException") => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn refused(&self, reason: &str) -> SealError {
        SealError::Refused { seal: self.name.clone(), reason: format!("{reason} (key {})", self.key) }
    }

    /// An answer of another key than the one that was asked. An alias cannot be compared: KMS answers with the key behind it.
    fn is_other_key(&self, answered: Option<&str>) -> bool {
        let id = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
        !self.key.contains("alias/") && answered.is_none_or(|answered| id(answered) != id(&self.key))
    }
}

#[async_trait]
impl Seal for AwsKms {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "awskms"
    }

    fn identity(&self) -> String {
        let region = self.client.config().region().map(Region::as_ref).unwrap_or_default();
        super::identity(&self.name, self.kind(), &SecretBytes::new(format!("{region} {}", self.key).into_bytes()))
    }

    fn with_key(&self, key_id: &str) -> Option<Arc<dyn Seal>> {
        let key = self.allowed_keys.iter().find(|allowed| *allowed == key_id)?.clone();
        let (name, client, main) = (self.name.clone(), self.client.clone(), Some(self.key.clone()));
        Some(Arc::new(Self { name, key, client, allowed_keys: Vec::new(), main }))
    }

    async fn wrap(&self, plaintext: &SecretBytes, context: &WrapContext) -> Result<Vec<u8>, SealError> {
        let mut request = self.client.encrypt().key_id(&self.key).plaintext(Blob::new(plaintext.expose()));
        for (name, value) in encryption_context(context) {
            request = request.encryption_context(name, value);
        }
        let answer = request.send().await.map_err(|error| self.failed(&error))?;
        if self.is_other_key(answer.key_id()) {
            return Err(self.nonsense("is of another key"));
        }
        let wrap = answer.ciphertext_blob.map(Blob::into_inner).filter(|wrap| !wrap.is_empty());
        wrap.ok_or_else(|| self.nonsense("holds no wrap"))
    }

    async fn unwrap(&self, wrap: &[u8], context: &WrapContext) -> Result<SecretBytes, SealError> {
        if wrap.is_empty() {
            return Err(SealError::DoesNotOpen { seal: self.name.clone() });
        }
        let mut request = self.client.decrypt().key_id(&self.key).ciphertext_blob(Blob::new(wrap));
        for (name, value) in encryption_context(context) {
            request = request.encryption_context(name, value);
        }
        let answer = request.send().await.map_err(|error| self.failed(&error))?;
        if self.is_other_key(answer.key_id()) {
            return Err(self.nonsense("is of another key"));
        }
        let plaintext = answer.plaintext.map(|blob| SecretBytes::new(blob.into_inner()));
        plaintext.ok_or_else(|| self.nonsense("holds no key"))
    }

    async fn destroy_key(&self, days: u32) -> Result<KeyFate, SealError> {
        let Some(main) = &self.main else { return Err(self.refused("the key of the deployment is not destroyed")) };
        let Some(own) = self.described(&self.key).await? else { return Ok(fate(None)) };
        // Two spellings of one key: ids, ARNs and aliases.
        if self.described(main).await?.is_some_and(|main| main.key_id() == own.key_id()) {
            return Err(self.refused("it is the key of the deployment, too, and is not destroyed"));
        }
        if own.deletion_date().is_some() {
            return Ok(fate(Some(&own)));
        }
        // Not by an alias, which KMS does not take here; keys of other accounts neither.
        let key = own.key_id().to_owned();
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        let scheduling = self.client.schedule_key_deletion().key_id(key).pending_window_in_days(days);
        scheduling.send().await.map_err(|error| self.failed(&error))?;
        self.key_fate().await
    }

    async fn key_fate(&self) -> Result<KeyFate, SealError> {
        Ok(fate(self.described(&self.key).await?.as_ref()))
    }
}

fn fate(key: Option<&KeyMetadata>) -> KeyFate {
    let state = key.and_then(KeyMetadata::key_state).map_or("NotFound", |state| state.as_str()).to_owned();
    KeyFate { state, deletion: key.and_then(|key| key.deletion_date()).map(timestamp) }
}

fn timestamp(date: &DateTime) -> Timestamp {
    Timestamp(date.secs().saturating_mul(1_000_000_000))
}

fn encryption_context(context: &WrapContext) -> [(&'static str, String); 3] {
    [
        ("deployment", context.deployment.uuid()),
        ("tenant", context.tenant.to_string()),
        ("generation", context.generation.to_string()),
    ]
}

/// An error and what caused it, in one line. What the SDK says of a failed call holds no key material.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    texts.dedup();
    texts.join(": ")
}
