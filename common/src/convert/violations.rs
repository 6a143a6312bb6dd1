//! The list of bad fields of one request. Knows no status and no transport; holds nothing of what the caller sent.

use std::fmt::Display;

/// One bad field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Its path, such as `collaborators[3].organisation_id`.
    pub field: String,
    /// What it must be, with its bounds. Never its value.
    pub description: String,
}

/// Every bad field of a request, in the order they were found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Violations {
    found: Vec<Violation>,
    omitted: usize,
}

impl Violations {
    /// How many are kept. They travel in a header, whose size clients bound; the rest is only counted.
    pub const MOST: usize = 64;

    /// Notes a bad field. `description` must come from us: no text of the caller's belongs in an error.
    pub fn add(&mut self, field: impl Into<String>, description: impl Display) {
        if self.found.len() < Self::MOST {
            self.found.push(Violation { field: field.into(), description: description.to_string() });
        } else {
            self.omitted += 1;
        }
    }

    /// The value, or `None` and a note of why there is none.
    pub fn check<T, E: Display>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|why| self.add(field, why)).ok()
    }

    /// The value of a field that must be given.
    pub fn required<T>(&mut self, field: &str, given: Option<T>) -> Option<T> {
        if given.is_none() {
            self.add(field, "is required");
        }
        given
    }

    /// `made`, if every field was good. A value that could not be made must have been noted; if it was not, the request
    /// as a whole is.
    ///
    /// # Errors
    /// All bad fields.
    pub fn finish<T>(mut self, made: Option<T>) -> Result<T, Self> {
        match made {
            Some(value) if self.found.is_empty() => Ok(value),
            Some(_) => Err(self),
            None => {
                if self.found.is_empty() {
                    self.add("", "is not well-formed");
                }
                Err(self)
            }
        }
    }

    /// The bad fields, at most [`Violations::MOST`].
    pub fn found(&self) -> &[Violation] {
        &self.found
    }

    /// How many more there were.
    pub const fn omitted(&self) -> usize {
        self.omitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_bad_passes_and_anything_bad_does_not() {
        assert_eq!(Violations::default().finish(Some(1)), Ok(1));
        let mut some = Violations::default();
        assert_eq!(some.required::<u8>("a", None), None);
        assert!(some.finish(Some(1)).is_err());
        assert!(Violations::default().finish::<u8>(None).is_err());
    }

    #[test]
    fn a_long_list_is_cut_and_the_rest_counted() {
        let mut many = Violations::default();
        for index in 0..100 {
            many.add(format!("f[{index}]"), "is bad");
        }
        assert_eq!((many.found().len(), many.omitted()), (64, 36));
    }
}
