//! Values of settings between text and model: their kinds, units, and how each is read and shown.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::Secret;

use super::model::{
    AuthMethod, ClientTls, Consistency, CrossShardCommit, CrossShardReads, LogLevel, PoolMode, Scheduling,
};

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    /// One text, or a list of them.
    Texts,
    /// `host:port`
    Address,
    /// One `host:port`, or a list of them.
    Addresses,
    /// A file; relative ones are found from the configuration's folder.
    Path,
    /// One folder, or a list of them.
    Paths,
    Flag,
    /// A whole number within bounds.
    Count {
        least: usize,
        most: usize,
    },
    /// A time with its unit, within bounds; `off`: 0 is allowed too and has a meaning of its own.
    Time {
        least: Duration,
        most: Duration,
        off: bool,
    },
    Choice(&'static [&'static str]),
    /// A text that is never shown; `env:NAME` and `file:PATH` are resolved.
    Secret,
    /// Lists of servers by shard.
    Shards,
    /// Whole numbers by shard.
    Weights,
    /// Placements by table.
    Tables,
    /// Promises by function.
    Functions,
}

/// A value that was read, or is to be shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Absent,
    Text(String),
    List(Vec<String>),
    Flag(bool),
    Count(usize),
    Time(Duration),
    Secret(Secret),
}

impl std::fmt::Display for Value {
    /// As it would stand in the file, but for secrets. Nothing for what is absent.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => Ok(()),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => match items.as_slice() {
                [one] => write!(f, "{one:?}"),
                _ => write!(f, "{items:?}"),
            },
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Time(Duration::ZERO) => f.write_str("0"),
            Self::Time(time) => write!(f, "\"{}\"", show_time(*time)),
            Self::Secret(_) => f.write_str("…"),
        }
    }
}

/// Units of time, longest first, in milliseconds.
const UNITS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads `5s`, `250ms`, `2m`, `1h`, `1d`: a whole number and a unit. `None`: not of that form.
pub(super) fn read_time(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    let milliseconds = number.parse::<u64>().ok()?.checked_mul(*scale)?;
    Some(Duration::from_millis(milliseconds))
}

/// A time in the largest unit that gives a whole number.
pub(super) fn show_time(time: Duration) -> String {
    let milliseconds = time.as_millis();
    for (unit, scale) in UNITS {
        let scale = u128::from(*scale);
        if milliseconds >= scale && milliseconds.is_multiple_of(scale) {
            return format!("{}{unit}", milliseconds / scale);
        }
    }
    "0s".to_owned()
}

/// A field of the model that a key fills.
pub(super) trait Field {
    /// Takes the value; one of another kind (the table's tests exclude it) leaves the field as it is.
    fn take(&mut self, value: Value);
    fn show(&self) -> Value;
}

macro_rules! plain_field {
    ($type:ty, $variant:ident) => {
        impl Field for $type {
            fn take(&mut self, value: Value) {
                if let Value::$variant(inner) = value {
                    *self = inner;
                }
            }
            fn show(&self) -> Value {
                Value::$variant(self.clone())
            }
        }
    };
}

plain_field!(bool, Flag);
plain_field!(usize, Count);
plain_field!(Duration, Time);
plain_field!(Vec<String>, List);
plain_field!(String, Text);
plain_field!(Secret, Secret);

impl Field for PathBuf {
    fn take(&mut self, value: Value) {
        if let Value::Text(text) = value {
            *self = Self::from(text);
        }
    }
    fn show(&self) -> Value {
        Value::Text(self.to_string_lossy().into_owned())
    }
}

impl Field for Vec<PathBuf> {
    fn take(&mut self, value: Value) {
        if let Value::List(items) = value {
            *self = items.into_iter().map(PathBuf::from).collect();
        }
    }
    fn show(&self) -> Value {
        Value::List(self.iter().map(|path| path.to_string_lossy().into_owned()).collect())
    }
}

macro_rules! optional_field {
    ($type:ty, $blank:expr) => {
        impl Field for Option<$type> {
            fn take(&mut self, value: Value) {
                *self = None;
                if value != Value::Absent {
                    self.insert($blank).take(value);
                }
            }
            fn show(&self) -> Value {
                self.as_ref().map_or(Value::Absent, Field::show)
            }
        }
    };
}

optional_field!(String, String::new());
optional_field!(usize, 0);
optional_field!(PathBuf, PathBuf::new());
optional_field!(PoolMode, PoolMode::Transaction);
optional_field!(Secret, Secret::new(""));

macro_rules! choice_field {
    ($type:ident { $($name:literal => $variant:ident),+ $(,)? }) => {
        impl $type {
            /// The words that a configuration has for the variants.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The configuration's word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// The variant that a configuration's word names.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl Field for $type {
            fn take(&mut self, value: Value) {
                if let Value::Text(text) = value
                    && let Some(choice) = Self::from_name(&text)
                {
                    *self = choice;
                }
            }
            fn show(&self) -> Value {
                Value::Text(self.as_str().to_owned())
            }
        }
    };
}

choice_field!(ClientTls { "disable" => Disable, "allow" => Allow, "require" => Require });
choice_field!(Scheduling { "auto" => Auto, "normal" => Normal });
choice_field!(LogLevel { "error" => Error, "warn" => Warn, "info" => Info, "debug" => Debug, "trace" => Trace });
choice_field!(AuthMethod { "scram-sha-256" => ScramSha256, "md5" => Md5, "trust" => Trust, "cert" => Cert });
choice_field!(PoolMode { "transaction" => Transaction, "session" => Session });
choice_field!(CrossShardCommit { "two-phase" => TwoPhase, "best-effort" => BestEffort });
choice_field!(CrossShardReads { "fast" => Fast, "atomic" => Atomic });
choice_field!(Consistency { "proxy" => Proxy, "session" => Session, "eventual" => Eventual, "primary" => Primary });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_a_unit() {
        for (text, milliseconds) in
            [("5s", 5_000), ("250ms", 250), ("2m", 120_000), ("1h", 3_600_000), ("1d", 86_400_000), ("5 s", 5_000)]
        {
            assert_eq!(read_time(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "5", "s", "-5s", "1.5s", "5sec", "5s ", "99999999999999999999s", "999999999999999999d", "µ"] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_shown_in_the_largest_unit() {
        for text in ["1d", "36h", "90s", "2m", "1500ms"] {
            assert_eq!(read_time(text).map(show_time).as_deref(), Some(text));
        }
    }
}
