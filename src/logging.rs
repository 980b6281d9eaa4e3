//! The operator's log: levels, formats, and a level that can be changed while the server runs.
//!
//! Goes to standard error. Must never hold a secret; what happened to secrets is in the audit log, not here.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::{Registry, fmt, reload};

/// Least severe level that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// Steps of each request.
    Debug,
    /// Starts, stops, changes of state.
    Info,
    /// What the operator should look at.
    Warn,
    /// What does not work.
    Error,
}

impl LogLevel {
    /// The words of the configuration, Vault's among them.
    pub const WORDS: [(&'static str, Self); 7] = [
        ("trace", Self::Trace),
        ("debug", Self::Debug),
        ("info", Self::Info),
        ("warn", Self::Warn),
        ("error", Self::Error),
        ("warning", Self::Warn),
        ("err", Self::Error),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, level)| *level == self).map_or("", |(word, _)| word)
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Trace => LevelFilter::TRACE,
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }
}

/// Form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Standard,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 2] = [("standard", Self::Standard), ("json", Self::Json)];
}

/// Changes the level of a log that is running.
#[derive(Clone)]
pub struct LogControl {
    handle: reload::Handle<Targets, Registry>,
    levels: Arc<Mutex<Levels>>,
}

/// What the configuration says, and what is shown now.
struct Levels {
    configured: LogLevel,
    current: LogLevel,
}

impl LogControl {
    fn levels(&self) -> MutexGuard<'_, Levels> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration says so: from now on shows `level` and worse. False when the log is gone.
    pub fn set_level(&self, level: LogLevel) -> bool {
        self.levels().configured = level;
        self.override_level(None)
    }

    /// Shows `level` and worse until the next change; without one, what the configuration says. False when the log is gone.
    pub fn override_level(&self, level: Option<LogLevel>) -> bool {
        let mut levels = self.levels();
        levels.current = level.unwrap_or(levels.configured);
        self.handle.reload(targets(levels.current)).is_ok()
    }

    /// What is shown now.
    pub fn level(&self) -> LogLevel {
        self.levels().current
    }
}

/// Makes the process's log. `None` when there is one already: it stays as it is.
pub fn start(level: LogLevel, format: LogFormat) -> Option<LogControl> {
    let (subscriber, control) = subscriber(level, format, std::io::stderr);
    tracing::subscriber::set_global_default(subscriber).ok()?;
    std::panic::set_hook(Box::new(tell_panic));
    Some(control)
}

/// Says where a panic was, and its words only if they are the program's own: a text that was put together may hold what was being worked
/// on, as that of cutting a string in the middle of a character does.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let words = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(its text is not shown)");
    let thread = std::thread::current();
    let calls = Backtrace::capture();
    tracing::error!(thread = thread.name().unwrap_or_default(), "panicked at {place}: {words}");
    if calls.status() == BacktraceStatus::Captured {
        tracing::error!("{calls}");
    }
}

/// Our own lines at `level`; libraries only with warnings, because their details hold headers, and headers tokens.
fn targets(level: LogLevel) -> Targets {
    let libraries = level.filter().min(LevelFilter::WARN);
    Targets::new().with_default(libraries).with_target(env!("CARGO_PKG_NAME"), level.filter())
}

fn subscriber<W>(level: LogLevel, format: LogFormat, writer: W) -> (Box<dyn tracing::Subscriber + Send + Sync>, LogControl)
where
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(targets(level));
    let lines = fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Standard => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    (
        Box::new(tracing_subscriber::registry().with(filter).with(lines)),
        LogControl { handle, levels: Arc::new(Mutex::new(Levels { configured: level, current: level })) },
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn levels_apply_to_us_and_can_be_changed_and_libraries_only_warn() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, control) = subscriber(LogLevel::Info, LogFormat::Json, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(count = 1, "shown");
            tracing::debug!("hidden");
            tracing::info!(target: "hyper", "hidden");
            let text = lines.take();
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.contains("\"count\":1") && text.contains("\"level\":\"INFO\""), "{text}");

            assert!(control.set_level(LogLevel::Trace));
            tracing::debug!("shown");
            tracing::trace!(target: "h2", "hidden");
            tracing::warn!(target: "h2", "shown");
            assert_eq!(lines.take().lines().count(), 2);

            assert!(control.override_level(Some(LogLevel::Error)));
            tracing::warn!("hidden");
            assert_eq!((control.level().word(), lines.take().as_str()), ("error", ""));
            assert!(control.override_level(None));
            assert_eq!(control.level(), LogLevel::Trace, "what was set last counts as configured");
        });
    }

    #[test]
    fn a_panic_says_where_it_was_and_nothing_that_was_worked_on() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, _control) = subscriber(LogLevel::Info, LogFormat::Standard, move || writer.clone());
        let before: Arc<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> = Arc::from(std::panic::take_hook());
        let (of_others, mine) = (Arc::clone(&before), std::thread::current().id());
        // Tests run beside each other: what panics there is told as ever.
        std::panic::set_hook(Box::new(
            move |panic| {
                if std::thread::current().id() == mine { tell_panic(panic) } else { of_others(panic) }
            },
        ));
        let secret = "canary-\u{e4}-of-a-secret".to_owned();
        tracing::subscriber::with_default(subscriber, || {
            assert!(std::panic::catch_unwind(|| secret.split_at(8).0.len()).is_err());
            assert!(std::panic::catch_unwind(|| panic!("{secret}")).is_err());
            assert!(std::panic::catch_unwind(|| panic!("words of the program")).is_err());
        });
        std::panic::set_hook(Box::new(move |panic| before(panic)));
        let text = lines.take();
        assert_eq!(text.matches("panicked at ").count(), 3, "{text}");
        assert!(text.contains("src/logging.rs:") && text.contains("words of the program"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}
