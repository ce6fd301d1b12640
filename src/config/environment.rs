//! What a configuration may ask of the process around it: environment variables and files, injected so that tests choose.

use std::io;
use std::path::Path;

/// Answers `env:NAME` and `file:PATH`.
pub trait Environment {
    /// The value of an environment variable, `None` where it isn't set or isn't UTF-8.
    fn var(&self, name: &str) -> Option<String>;

    /// The whole text of a file.
    ///
    /// # Errors
    /// Those of the file system, and `InvalidData` for what isn't UTF-8.
    fn read_file(&self, path: &Path) -> io::Result<String>;
}

/// The process's own environment and files.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }
}
