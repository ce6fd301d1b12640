//! A progress bar on standard error; plain lines where that isn't a terminal.

use std::io::{IsTerminal, Write};

/// Cells of the bar.
const WIDTH: usize = 30;

/// Where a person sees what is going on.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    /// The text of the bar that stands on the present line.
    bar: Option<&'static str>,
}

impl Progress {
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), bar: None }
    }

    /// A line of its own.
    pub fn say(&mut self, text: &str) {
        self.end();
        eprintln!("{text}");
    }

    /// Moves the bar for `what` to `share`, from 0 to 1.
    pub fn bar(&mut self, what: &'static str, share: f64) {
        if !self.terminal {
            if self.bar != Some(what) {
                self.bar = Some(what);
                eprintln!("{what} …");
            }
            return;
        }
        if self.bar != Some(what) {
            self.end();
            self.bar = Some(what);
        }
        eprint!("\r{}", drawn(what, share));
        let _ = std::io::stderr().flush();
    }

    /// Leaves the bar as it is.
    pub fn end(&mut self) {
        if self.bar.take().is_some() && self.terminal {
            eprintln!();
        }
    }
}

fn drawn(what: &str, share: f64) -> String {
    let share = share.clamp(0.0, 1.0);
    let full = (share * WIDTH as f64).round() as usize;
    let percent = (share * 100.0).round();
    format!("{what} [{}{}] {percent:3}%", "█".repeat(full), "·".repeat(WIDTH.saturating_sub(full)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_its_share() {
        assert_eq!(drawn("a", 0.0), format!("a [{}]   0%", "·".repeat(30)));
        assert_eq!(drawn("a", 0.5), format!("a [{}{}]  50%", "█".repeat(15), "·".repeat(15)));
        assert_eq!(drawn("a", 7.0), format!("a [{}] 100%", "█".repeat(30)));
    }
}
