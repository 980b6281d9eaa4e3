//! Texts and lists of a role's settings, within limits.

use crate::answer::Refusal;
use crate::fields::Fields;

/// The most items of one setting of a role, and the longest of them in bytes.
pub(super) const ITEMS_MAX: usize = 100;
/// The longest text of a setting of a role, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 2_048;

/// A text; `None` when the write does not name it.
pub(super) fn text(fields: &Fields<'_>, name: &str) -> Result<Option<String>, Refusal> {
    let text = fields.text(name)?;
    if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) { Err(too_much(name)) } else { Ok(text) }
}

/// A list; `None` when the write does not name it.
pub(super) fn list(fields: &Fields<'_>, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let list = fields.list(name)?;
    let fits = |list: &Vec<String>| list.len() <= ITEMS_MAX && list.iter().all(|text| text.len() <= TEXT_BYTES_MAX);
    if list.as_ref().is_none_or(fits) { Ok(list) } else { Err(too_much(name)) }
}

/// The refusal of a setting.
pub(super) fn too_much(name: &str) -> Refusal {
    Refusal::Invalid(format!("{name}: at most {ITEMS_MAX} items of {TEXT_BYTES_MAX} bytes"))
}
