//! The one place where views are swapped. Readers take no lock; whoever loads after a publication sees it.

use std::{fmt, sync::Arc};

use arc_swap::{ArcSwap, Guard};

use crate::domain::view::View;

/// The view that verdicts are judged on now. One writer publishes, any number of threads read.
pub struct SharedView(ArcSwap<View>);

impl SharedView {
    /// Starts with `view`.
    pub fn new(view: View) -> Self {
        Self(ArcSwap::from_pointee(view))
    }

    /// The view now. Hold it for one verdict or one batch, not longer.
    pub fn load(&self) -> Guard<Arc<View>> {
        self.0.load()
    }

    /// Replaces the view. When this returns, every verdict that begins later is judged on `view`.
    pub fn publish(&self, view: View) {
        self.0.store(Arc::new(view));
    }
}

impl fmt::Debug for SharedView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedView")
    }
}
