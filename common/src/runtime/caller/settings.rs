//! The settings section `callers`: which identity may do what. A word that is not understood is a mistake, never a grant.

use std::{collections::BTreeSet, sync::Arc};

use super::{Callers, Grant};
use crate::runtime::{methods::Role, settings_file::SettingsFile, tls::is_identity};
use crate::token::kind::TokenType;

const ROLES: [(&str, Role); 4] = [
    ("portal", Role::Portal),
    ("verifier", Role::Verifier),
    ("component", Role::Component),
    ("operator", Role::Operator),
];

impl Callers {
    /// Takes the section; mistakes are told by [`SettingsFile::finish`].
    pub fn read(file: &mut SettingsFile) -> Self {
        let grants: Vec<_> = file
            .names_below("callers")
            .into_iter()
            .map(|identity| {
                let grant = grant(file, &identity);
                (Arc::from(identity), grant)
            })
            .collect();
        Self::new(grants)
    }
}

fn grant(file: &mut SettingsFile, identity: &str) -> Grant {
    let key = |field: &str| format!("callers.{identity}.{field}");
    if !is_identity(identity) {
        file.refuse(&key("roles"), "be of a SPIFFE id or of a host name in lower case with a dot in it");
    }
    let mut roles = Vec::new();
    for word in file.list(&key("roles")) {
        match ROLES.into_iter().find(|(name, _)| *name == word) {
            Some((_, role)) => roles.push(role),
            None => file.refuse(&key("roles"), "be of: portal, verifier, component, operator"),
        }
    }
    if roles.is_empty() {
        file.refuse(&key("roles"), "name at least one role");
    }
    let organisations = bounds(file, &key("organisations"), |text| text.parse().ok());
    let projects = bounds(file, &key("projects"), |text| text.parse().ok());
    let token_types = bounds(file, &key("token_types"), TokenType::parse);
    let narrowed = organisations.is_some() || projects.is_some() || token_types.is_some();
    if narrowed && roles.iter().any(|role| *role != Role::Portal) {
        // Where nothing is checked, a bound would only seem to be one.
        file.refuse(&key("roles"), "be [\"portal\"] alone: other roles cannot be narrowed");
    }
    Grant { roles, organisations, projects, token_types }
}

/// Absent is unbounded; an empty list is a mistake, since it could be meant either way.
fn bounds<T: Ord>(
    file: &mut SettingsFile,
    key: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<BTreeSet<T>> {
    let given = file.optional_list(key)?;
    let count = given.len();
    let read: BTreeSet<T> = given.iter().filter_map(|text| read(text)).collect();
    if count == 0 || read.len() != count {
        file.refuse(key, "be left out, or name each of at least one once");
    }
    Some(read)
}
