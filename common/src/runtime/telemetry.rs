//! Where log lines go and what they look like. Writes none itself but that of a panic.

use std::{io, panic};

use tracing::{Level, Subscriber};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry,
};

use super::service_settings::{LogFormat, LogLevel, LogSettings};

/// Our crates, which the settings speak of.
const OURS: [&str; 3] = ["issuer", "verifier", "common"];

/// Logs to standard error from now on; a panic becomes a line that says where, never what: it may quote a request.
///
/// # Errors
///
/// Logging was started before.
pub fn start(settings: &LogSettings) -> Result<(), tracing::dispatcher::SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber(*settings, io::stderr))?;
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
    Ok(())
}

fn subscriber<W>(settings: LogSettings, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let line = fmt::layer().with_writer(writer).with_ansi(false);
    let layer = match settings.format {
        LogFormat::Text => line.boxed(),
        LogFormat::Json => line.json().flatten_event(true).boxed(),
    };
    registry().with(layer.with_filter(filter(settings.level)))
}

/// Our crates at the level asked for; all others (h2, hyper, tonic, tower) no lower than warnings.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    Targets::new().with_default(level.min(Level::WARN)).with_targets(OURS.map(|target| (target, level)))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, level: LogLevel) -> String {
        let page = Page::default();
        let copy = page.clone();
        tracing::subscriber::with_default(
            subscriber(LogSettings { format, level }, move || copy.clone()),
            || {
                tracing::debug!(target: "issuer::calls", "ours");
                tracing::info!(target: "h2::frame", "theirs");
                tracing::warn!(target: "hyper", code = 7, "trouble");
            },
        );
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn only_our_crates_follow_the_level() {
        let debug = written(LogFormat::Text, LogLevel::Debug);
        assert!(debug.contains("ours") && debug.contains("trouble") && !debug.contains("theirs"), "{debug}");
        let info = written(LogFormat::Text, LogLevel::Info);
        assert!(info.contains("trouble") && !info.contains("ours"), "{info}");
        assert_eq!(written(LogFormat::Text, LogLevel::Error), "");
    }

    #[test]
    fn a_json_line_is_one_object_with_its_fields_at_the_top() {
        let line = written(LogFormat::Json, LogLevel::Info);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&object["message"], &object["code"]), (&"trouble".into(), &7.into()));
    }
}
