//! Structured logs on stderr: text or JSON lines.
//!
//! Fields have fixed names: `client` (address and port), `user`, `database`, `server` (`host:port`), `sqlstate`. Never in
//! a log: passwords, keys, values of parameters, SQL texts (their literals are values).

use std::io::{IsTerminal, Write};

use tracing::Subscriber;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload;

use crate::config::{Log, LogLevel};

/// A boxed subscriber: what `tracing` is told to use.
pub type Logs = Box<dyn Subscriber + Send + Sync>;

/// Changes the level of what is logged while the process runs. Clones change the same.
#[derive(Clone, Debug)]
pub struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    /// From now on.
    pub fn set(&self, to: LogLevel) {
        // Fails only where the subscriber is gone: then nobody logs.
        let _ = self.0.reload(level(to));
    }
}

/// What the binary installs with `tracing::subscriber::set_global_default` (libraries and tests don't), and the handle
/// for a reload of `log.level`.
pub fn subscriber(config: &Log) -> (Logs, Level) {
    subscriber_to(config, std::io::stderr, std::io::stderr().is_terminal())
}

/// The same to a writer of the caller's choice. `colours`: only for text on a terminal.
pub fn subscriber_to<W>(config: &Log, writer: W, colours: bool) -> (Logs, Level)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
    let layer = if config.json {
        layer.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        layer.with_ansi(colours).boxed()
    };
    let (filter, handle) = reload::Layer::new(level(config.level));
    (Box::new(tracing_subscriber::registry().with(layer.with_filter(filter))), Level(handle))
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Lines kept in memory, for tests of other modules that look at what was logged.
#[derive(Clone, Debug, Default)]
pub struct Memory(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Memory {
    /// All that was written.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)).into_owned()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Memory {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(json: bool, level: LogLevel) -> String {
        let lines = Memory::default();
        let (subscriber, _) = subscriber_to(&Log { json, level, connections: true }, lines.clone(), false);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(
                client = "127.0.0.1:5",
                user = "app",
                database = "shop",
                sqlstate = "28P01",
                "login refused"
            );
            tracing::debug!("not at info");
        });
        lines.text()
    }

    #[test]
    fn json_lines_have_the_fields_at_the_top() {
        let text = logged(true, LogLevel::Info);
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in
            ["\"level\":\"INFO\"", "\"user\":\"app\"", "\"sqlstate\":\"28P01\"", "\"message\":\"login refused\""]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn the_level_decides() {
        assert_eq!(logged(false, LogLevel::Debug).lines().count(), 2);
        assert_eq!(logged(false, LogLevel::Error), "");
        assert!(logged(false, LogLevel::Info).contains("user=\"app\" database=\"shop\""));
    }

    #[test]
    fn a_reload_changes_the_level() {
        let lines = Memory::default();
        let config = Log { json: false, level: LogLevel::Info, connections: true };
        let (subscriber, level) = subscriber_to(&config, lines.clone(), false);
        tracing::subscriber::with_default(subscriber, || {
            for to in [LogLevel::Info, LogLevel::Debug, LogLevel::Error] {
                level.set(to);
                tracing::debug!("at {to:?}");
            }
        });
        assert!(lines.text().contains("at Debug") && lines.text().lines().count() == 1, "{}", lines.text());
    }
}
