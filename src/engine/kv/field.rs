//! One field of a value.

use crate::answer::Refusal;
use crate::fields::Fields;
use crate::json::Json;
use crate::secret::SecretBytes;

/// The object with this field of `value` alone. `NotFound` when the value has no such field.
pub fn one_field(value: &SecretBytes, field: &str) -> Result<Json, Refusal> {
    let fields = Fields::parse(value.expose(), None)?;
    let raw = fields.raw(field).ok_or(Refusal::NotFound)?;
    Ok(Json::object(|object| {
        object.raw(field, raw.get().as_bytes());
    }))
}
