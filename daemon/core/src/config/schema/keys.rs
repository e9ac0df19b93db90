//! The keys of each table of the configuration, as the derived `Deserialize` of its type lists them.

use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use super::{
    Endpoints, RawAudit, RawClient, RawConfig, RawConfirm, RawDefaults, RawEnvironment, RawLock, RawMfa, RawNetwork,
    RawNotifications, RawPin, RawProfile, RawSource,
};

/// Returns the keys of the table at a path; `None` if the path is not a table with fixed keys.
pub(super) fn of_table(path: &[&str]) -> Option<&'static [&'static str]> {
    match path {
        [] => keys::<RawConfig>(),
        ["defaults"] => keys::<RawDefaults>(),
        ["endpoints"] => keys::<Endpoints>(),
        ["network"] => keys::<RawNetwork>(),
        ["environment"] => keys::<RawEnvironment>(),
        ["sources", _] => keys::<RawSource>(),
        ["sources", _, "mfa"] => keys::<RawMfa>(),
        ["lock"] => keys::<RawLock>(),
        ["notifications"] => keys::<RawNotifications>(),
        ["audit"] => keys::<RawAudit>(),
        ["confirm"] => keys::<RawConfirm>(),
        ["client"] => keys::<RawClient>(),
        ["included", _] => keys::<RawPin>(),
        ["profiles", _] => keys::<RawProfile>(),
        _ => None,
    }
}

fn keys<'de, T: Deserialize<'de>>() -> Option<&'static [&'static str]> {
    let mut fields = None;
    // Always an error, because there is no value to read.
    let _ = T::deserialize(Fields(&mut fields));
    fields
}

/// A deserializer without a value, which records the fields that a struct requests.
struct Fields<'a>(&'a mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Some(fields);
        Err(Error::custom("no value"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_keys() {
        let root = of_table(&[]).unwrap();
        assert_eq!(
            root,
            [
                "include",
                "defaults",
                "endpoints",
                "network",
                "environment",
                "sources",
                "lock",
                "notifications",
                "audit",
                "confirm",
                "client",
                "included",
                "profiles"
            ]
        );
        for key in root.iter().filter(|key| !["include", "sources", "included", "profiles"].contains(key)) {
            assert!(of_table(&[key]).is_some_and(|keys| !keys.is_empty()), "{key}");
        }
        assert!(of_table(&["sources", "work"]).unwrap().contains(&"mfa"));
        assert_eq!(of_table(&["sources", "work", "mfa"]).unwrap(), ["serial", "session", "process"]);
        assert!(of_table(&["included", "prod"]).unwrap().contains(&"entry_key"));
        assert!(of_table(&["profiles", "prod"]).unwrap().contains(&"role_arn"));
        assert_eq!(of_table(&["profiles"]), None);
        assert_eq!(of_table(&["profiles", "prod", "tags"]), None);
    }
}
