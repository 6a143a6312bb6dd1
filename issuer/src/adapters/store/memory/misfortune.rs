//! What happens to a store in memory from outside: it is put back, wiped, its clock contradicts others. For tests only.

use super::{MemoryStore, State};

/// What a store held once.
#[derive(Clone, Debug)]
pub struct Image(State);

impl MemoryStore {
    /// All that it holds now, to be put back later as from a backup.
    pub fn image(&self) -> Image {
        Image(self.state().clone())
    }

    /// Holds what it held then: all since is lost.
    pub fn put_back(&self, image: Image) {
        let mut state = self.state();
        *state = State { started: state.started + 1, ..image.0 };
    }

    /// Holds nothing any more.
    pub fn wipe(&self) {
        let mut state = self.state();
        *state = State { shared: state.shared, started: state.started + 1, ..State::default() };
    }

    /// Whether its clock contradicts that of everybody who asks.
    pub fn contradict_clocks(&self, off: bool) {
        self.state().clock_off = off;
    }
}
