//! Layers of pseudonyms and their names (rule 5 of the design): which data belongs to whom. Holds no key and no data.

use std::fmt;

use common::{organisation_id::OrganisationId, project_id::ProjectId, token::claims::Source};

/// `project/organisation`, and for a second level `/source project/source organisation` besides. No part can hold a
/// slash, so no two layers have one name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Layer(String);

impl Layer {
    /// What pseudonymisation tokens make.
    pub(crate) fn first(project: &ProjectId, organisation: OrganisationId) -> Self {
        Self(format!("{project}/{organisation}"))
    }

    /// What secondary tokens make of the first level of `source`.
    pub(crate) fn second(project: &ProjectId, organisation: OrganisationId, source: &Source) -> Self {
        Self(format!("{project}/{organisation}/{}/{}", source.project, source.organisation))
    }

    /// As the vault wrote it.
    pub(crate) fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Every name of a second level over this first one's (project, organisation): from, inclusive, and to, exclusive.
    pub(crate) fn seconds(&self) -> (String, String) {
        (format!("{}/", self.0), format!("{}0", self.0))
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
