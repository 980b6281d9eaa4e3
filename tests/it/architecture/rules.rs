//! The tables that the architecture test holds the code to.

/// Modules by layer, the highest first: each may use the layers below it, and never one above. A longer path wins over a
/// shorter one. What is not named is a leaf: it uses leaves only.
pub(super) const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["app"],
    &["http"],
    &["request"],
    &["engine", "auth", "sys", "sink"],
    &["commit"],
    &["storage", "seal", "outbound", "archive", "backup", "witness", "spans::export"],
    &["audit", "policy", "crypto", "reference", "cert"],
    LEAVES,
];

/// Leaves that stand in a folder of a higher layer.
const LEAVES: &[&str] = &[
    // How an operation is declared: the parser of bodies reads the same rows as every engine.
    "engine::table",
];

/// Who may use a module of its own layer: user, used, reason.
pub(super) const PEERS: &[(&str, &str, &str)] = &[
    ("audit", "crypto", "the log's tree is made of SHA-256"),
    ("cert", "crypto", "a certificate is known by its SHA-256"),
    ("reference", "crypto", "a reference ends in a checksum, and is stored as a keyed hash"),
    ("seal", "outbound", "another server that keeps a root key is called with the same TLS"),
    ("spans", "outbound", "traces are sent to another server"),
    ("backup", "storage", "a backup is taken from one store and put into another"),
    ("backup", "seal", "the key of a backup is wrapped as those of tenants are"),
    ("archive", "backup", "where backups are kept is what they are written to and read from"),
    ("sys", "sink", "an open server feeds the sinks of its log"),
    ("sys", "auth", "sys/auth lists and mounts the methods; capabilities are those of tokens"),
    ("sys", "engine", "sys/mounts lists, makes and removes mounts of every engine"),
    (
        "auth",
        "engine",
        "auth methods declare themselves with the same table, and whom a token stands for is in the identity engine",
    ),
];

/// Crates, where they may be named, and why only there.
pub(super) const CRATES: &[(&[&str], &[&str], &str)] = &[
    (&["sqlx"], &["src/storage/"], "SQL is written and run in one place"),
    (
        &["axum", "hyper", "hyper_util", "http_body_util", "rustls", "tokio_rustls"],
        &["src/http/", "src/cli/", "src/outbound/", "src/seal/transit/", "src/crypto/hazmat/hpke.rs"],
        "nobody behind the door looks at HTTP or TLS (cli/ is a client and makes the dev authority, outbound/ and the seal transit are clients; rustls has HPKE)",
    ),
    (&["clap"], &["src/cli/", "src/main.rs"], "only the command line needs it"),
    (
        &["ureq"],
        &["src/cli/", "src/outbound/", "src/seal/transit/"],
        "calls to other servers go through the list of hosts that may be called, or to that of a seal",
    ),
    (&["webpki"], &["src/cert/"], "who vouches for a certificate is decided in one place"),
    (
        &["x509_parser"],
        &["src/cert/", "src/crypto/public_key.rs", "src/http/tls.rs", "src/dev_ca.rs"],
        "certificates are read in few places",
    ),
    (
        &["rcgen"],
        &["src/dev_ca.rs", "src/cert/bundle_tests.rs", "src/crypto/public_key_tests.rs"],
        "only a development server and tests make certificates",
    ),
    (
        &["aes_gcm", "argon2", "bcrypt", "chacha20poly1305", "hkdf", "subtle"],
        &["src/crypto/hazmat/"],
        "primitives are easy to misuse: each is behind one small function",
    ),
    (&["num_bigint"], &["src/crypto/hazmat/"], "its numbers take a time that depends on them: for public ones only"),
    (&["aws_lc_rs"], &["src/crypto/hazmat/", "src/http/"], "signatures are behind small functions; TLS names its provider"),
    (
        &["hmac", "sha2"],
        // The database checks the tenant context too, with HMAC over a form that SQL can write.
        &["src/crypto/hazmat/", "src/storage/postgres/context.rs"],
        "primitives are easy to misuse: each is behind one small function",
    ),
    (&["getrandom"], &["src/random.rs"], "keys and nonces come from one generator"),
    (&["aws_config", "aws_sdk_kms", "aws_smithy_http_client"], &["src/seal/aws_kms.rs"], "one foreign system per seal"),
    (&["object_store"], &["src/archive/"], "object storage is called in one place, bounded in time"),
    (&["cryptoki"], &["src/seal/pkcs11/"], "one foreign system per seal"),
    (&["zstd"], &["src/audit/batch.rs"], "only audit batches are compressed"),
    (&["jiff"], &["src/time.rs"], "times have one text form"),
];

/// What must not be in `src/`, and what to do instead.
pub(super) const FORBIDDEN: &[(&str, &str)] = &[
    ("TODO", "do it, or open an issue"),
    ("FIXME", "fix it, or open an issue"),
    ("todo!", "write it, or leave it out"),
    ("unimplemented!", "write it, or leave it out"),
    ("#[allow(", "use #[expect(.., reason = \"..\")]"),
    ("#![allow(", "use #![expect(.., reason = \"..\")]"),
    ("dbg!", "use tracing"),
];

/// Longest file, in lines, its tests included.
pub(super) const LINES_MAX: usize = 400;
