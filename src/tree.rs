//! JSON as a tree whose texts wipe themselves. For the command line and for what an operator's files say; a request that the
//! server answers never becomes one.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::Number;

use crate::secret::SecretText;

/// A value.
pub enum Tree {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number.
    Number(Number),
    /// A text, which may be secret.
    Text(SecretText),
    /// A list.
    List(Vec<Tree>),
    /// An object.
    Map(BTreeMap<String, Tree>),
}

impl Tree {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(SecretText::new(text.into()))
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.expose()),
            _ => None,
        }
    }

    /// A member of an object; `null` counts as absent.
    pub fn member(&self, name: &str) -> Option<&Tree> {
        self.members().and_then(|members| members.get(name)).filter(|member| !matches!(member, Self::Null))
    }

    /// The members, if it is an object.
    pub fn members(&self) -> Option<&BTreeMap<String, Tree>> {
        match self {
            Self::Map(members) => Some(members),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn items(&self) -> Option<&[Tree]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Says nothing: `null`, and an empty text, list or object.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Boolean(_) | Self::Number(_) => false,
            Self::Text(text) => text.expose().is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(members) => members.is_empty(),
        }
    }

    /// A second copy. Named, so that copies can be found by reading.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        match self {
            Self::Null => Self::Null,
            Self::Boolean(value) => Self::Boolean(*value),
            Self::Number(number) => Self::Number(number.clone()),
            Self::Text(text) => Self::text(text.expose()),
            Self::List(items) => Self::List(items.iter().map(Self::duplicate).collect()),
            Self::Map(members) => Self::Map(members.iter().map(|(name, member)| (name.clone(), member.duplicate())).collect()),
        }
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text.expose()),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(members) => serializer.collect_map(members),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Growing)
    }
}

struct Growing;

impl<'de> Visitor<'de> for Growing {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Boolean(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::text(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Tree, E> {
        Ok(Tree::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, member)) = map.next_entry()? {
            members.insert(name, member);
        }
        Ok(Tree::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_the_same() {
        let text = r#"{"a":null,"b":[true,-1,18446744073709551615,2.5,"x\n\"y"],"c":{"d":{}}}"#;
        let tree: Tree = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&tree).unwrap(), text);
        assert_eq!(serde_json::to_string(&tree.duplicate()).unwrap(), text);
        assert!(tree.member("a").is_none() && tree.member("c").is_some());
        assert!(tree.member("c").and_then(|c| c.member("d")).is_some_and(Tree::is_empty));
        assert!(serde_json::from_str::<Tree>("{\"a\":").is_err());
    }
}
