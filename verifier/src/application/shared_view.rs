//! The one place where views are swapped. Readers take no lock; whoever loads after a publication sees it.

use std::{fmt, sync::Arc};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use crate::domain::view::View;

/// The view that verdicts are judged on now. One writer publishes, any number of threads read.
pub struct SharedView {
    view: ArcSwap<View>,
    published: watch::Sender<()>,
}

impl SharedView {
    /// Starts with `view`.
    pub fn new(view: View) -> Self {
        Self { view: ArcSwap::from_pointee(view), published: watch::Sender::new(()) }
    }

    /// The view now. Hold it for one verdict or one batch, not longer.
    pub fn load(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// Replaces the view. When this returns, every verdict that begins later is judged on `view`.
    pub fn publish(&self, view: View) {
        self.view.store(Arc::new(view));
        self.published.send_replace(());
    }

    /// Hears of publications after this call.
    pub fn published(&self) -> watch::Receiver<()> {
        self.published.subscribe()
    }
}

impl fmt::Debug for SharedView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedView")
    }
}
