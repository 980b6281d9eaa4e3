//! From the configuration to the client of a storage.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::ArchiveError;
use crate::config::ArchiveTarget;

/// The first pause before a call is tried again; the next ones grow.
const BACKOFF: Duration = Duration::from_millis(100);
/// How often one call is tried again within its time.
const RETRIES_MAX: usize = 3;

/// Calls nobody yet, but looks whether a folder is there.
pub(super) fn open(to: &ArchiveTarget, timeout: Duration) -> Result<Arc<dyn ObjectStore>, ArchiveError> {
    let failed = |error: object_store::Error| ArchiveError::Settings(to.kind(), error.to_string());
    Ok(match to {
        ArchiveTarget::File { path } => {
            // Written to the disk before it is said to be there; folders go with their last object.
            let folder = LocalFileSystem::new_with_prefix(path).map_err(failed)?;
            Arc::new(folder.with_fsync(true).with_automatic_cleanup(true))
        }
        ArchiveTarget::S3 { bucket, region, endpoint, key } => {
            let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry(timeout));
            if let Some(region) = region {
                builder = builder.with_region(region);
            }
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let Some((id, secret)) = key {
                builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose());
            }
            Arc::new(builder.with_client_options(client(endpoint.as_ref(), timeout)).build().map_err(failed)?)
        }
        ArchiveTarget::Gcs { bucket, credentials_file, endpoint } => {
            let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry(timeout));
            if let Some(file) = credentials_file {
                builder = builder.with_service_account_path(file.to_string_lossy());
            }
            if let Some(endpoint) = endpoint {
                builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint);
            }
            Arc::new(builder.with_client_options(client(endpoint.as_ref(), timeout)).build().map_err(failed)?)
        }
        ArchiveTarget::Azure { container, account, access_key, endpoint } => {
            let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(container).with_retry(retry(timeout));
            if let Some(account) = account {
                builder = builder.with_account(account);
            }
            if let Some(key) = access_key {
                builder = builder.with_access_key(key.expose());
            }
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint.clone());
            }
            Arc::new(builder.with_client_options(client(endpoint.as_ref(), timeout)).build().map_err(failed)?)
        }
    })
}

fn retry(timeout: Duration) -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: BACKOFF, ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: timeout }
}

/// The configuration allows addresses without TLS on this machine only. What the environment says of that does not count.
fn client(endpoint: Option<&String>, timeout: Duration) -> ClientOptions {
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    ClientOptions::new().with_allow_http(plain).with_timeout(timeout).with_connect_timeout(timeout / 2)
}
