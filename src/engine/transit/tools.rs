//! Random bytes and hashes, without any key: of this engine and of `sys/tools`, which are the same.

use zeroize::Zeroizing;

use super::batch::base64_of_any_length;
use crate::answer::{Answer, Refusal};
use crate::crypto::transit::Hash;
use crate::engine::table::{Call, Field};
use crate::json::Json;
use crate::random;
use crate::secret::SecretBytes;

/// The most random bytes of one request.
const BYTES_MAX: i64 = 131_072;

/// How many there are when the request does not say.
const BYTES_DEFAULT: i64 = 32;

/// One operation.
pub enum Operation {
    /// So many random bytes.
    Random(usize, Format),
    /// The hash of what was sent.
    Hash(Hash, SecretBytes, Format),
}

/// How bytes are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lower case.
    Hex,
    /// With padding.
    Base64,
}

impl Format {
    fn parse(call: &Call<'_>, usual: Self) -> Result<Self, Refusal> {
        match call.fields.text("format")?.as_deref() {
            None | Some("") => Ok(usual),
            Some("hex") => Ok(Self::Hex),
            Some("base64") => Ok(Self::Base64),
            Some(other) => Err(Refusal::invalid(format!("unsupported encoding format {other:?}; must be \"hex\" or \"base64\""))),
        }
    }

    fn write(self, bytes: &[u8]) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::Hex => data_encoding::HEXLOWER.encode(bytes),
            Self::Base64 => data_encoding::BASE64.encode(bytes),
        })
    }
}

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

/// What a request for random bytes may say.
pub const RANDOM: &[Field] = &[
    field("bytes", "integer", "How many bytes, if the path does not say; 32 unless given."),
    field("format", "string", "`base64` (the default) or `hex`."),
    field(
        "source",
        "string",
        "Where they come from, if the path does not say: `platform`, `seal` or `all`. All are the same here.",
    ),
];
/// What a request for a hash may say.
pub const HASH: &[Field] = &[
    field("input", "string", "What is hashed, in base64."),
    field(
        "algorithm",
        "string",
        "`sha2-224`, `sha2-256` (the default), `sha2-384`, `sha2-512`, `sha3-256`, `sha3-384` or `sha3-512`, if the path does not say.",
    ),
    field("format", "string", "`hex` (the default) or `base64`."),
];

/// Of `random/:what`: so many bytes, or a source.
pub fn random_of(call: &Call<'_>) -> Result<Operation, Refusal> {
    match call.captures.get(0) {
        source @ ("platform" | "seal" | "all") => random_bytes(Some(source), None, call),
        bytes => random_bytes(None, Some(bytes), call),
    }
}

/// What the path says wins over the body.
pub fn random_bytes(source: Option<&str>, bytes: Option<&str>, call: &Call<'_>) -> Result<Operation, Refusal> {
    let given = call.fields.text("source")?.filter(|source| !source.is_empty());
    let source = source.or(given.as_deref()).unwrap_or("platform");
    if !["platform", "seal", "all"].contains(&source) {
        return Err(Refusal::invalid(format!(
            "unsupported entropy source {source:?}; must be \"platform\" or \"seal\", or \"all\""
        )));
    }
    let bytes = match bytes {
        Some(text) => text.parse().map_err(|_| Refusal::invalid(format!("error parsing url-set byte count: {text:?}")))?,
        None => call.fields.integer("bytes")?.unwrap_or(BYTES_DEFAULT),
    };
    if bytes < 1 {
        return Err(Refusal::invalid("'bytes' cannot be less than 1"));
    }
    let bytes = usize::try_from(bytes).ok().filter(|_| bytes <= BYTES_MAX);
    let bytes = bytes.ok_or_else(|| Refusal::invalid(format!("'bytes' should be less than {BYTES_MAX}")))?;
    Ok(Operation::Random(bytes, Format::parse(call, Format::Base64)?))
}

/// What the path says wins over the body.
pub fn hash(algorithm: Option<&str>, call: &Call<'_>) -> Result<Operation, Refusal> {
    let given = call.fields.text("algorithm")?.filter(|algorithm| !algorithm.is_empty());
    let name = algorithm.or(given.as_deref()).unwrap_or("sha2-256");
    let hash = Hash::named(name).filter(|hash| *hash != Hash::Sha1);
    let hash = hash.ok_or_else(|| Refusal::invalid(format!("unsupported algorithm {name}")))?;
    let input = match call.fields.secret("input")? {
        Some(input) => base64_of_any_length(input.expose()),
        None => Ok(Vec::new()),
    };
    let input = input.map_err(|_| Refusal::invalid("unable to decode input as base64"))?;
    Ok(Operation::Hash(hash, SecretBytes::new(input), Format::parse(call, Format::Hex)?))
}

/// Runs one operation.
pub fn run(operation: &Operation) -> Result<Answer, Refusal> {
    let (name, text) = match operation {
        Operation::Random(bytes, format) => ("random_bytes", format.write(random::secret(*bytes).expose())),
        Operation::Hash(hash, input, format) => ("sum", format.write(&hash.of(&[input.expose()]))),
    };
    Ok(Answer::data(Json::object(|data| {
        data.field(name, text.as_str());
    })))
}
