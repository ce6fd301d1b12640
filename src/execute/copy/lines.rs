//! Cuts text and CSV into rows: PostgreSQL's `CopyReadLineText`.

use memchr::{memchr, memchr_iter, memchr2, memchr3};

use super::{Cut, Ends, Line};
use crate::plan::sharded::copy_options::{CopyFormat, CopyKind};

/// Cuts one stream.
#[derive(Clone, Debug)]
pub struct Lines {
    csv: Option<Csv>,
    ends: Ends,
    /// How far the row at hand has been looked at, and what was found in it.
    at: usize,
    feeds: u64,
    returns: u64,
}

#[derive(Clone, Debug)]
struct Csv {
    quote: u8,
    /// `None`: it is the quote.
    escape: Option<u8>,
    /// `\.` ends the stream.
    marked: bool,
    in_quote: bool,
    /// The last byte was an escape that counts.
    escaped: bool,
}

impl Lines {
    pub fn new(format: &CopyFormat) -> Self {
        let csv = (format.kind == CopyKind::Csv).then(|| Csv {
            quote: format.quote,
            escape: Some(format.escape).filter(|escape| *escape != format.quote),
            marked: format.csv_end,
            in_quote: false,
            escaped: false,
        });
        Self { csv, ends: Ends::Unknown, at: 0, feeds: 0, returns: 0 }
    }

    /// How lines end, as far as it is known.
    pub fn ends(&self) -> Ends {
        self.ends
    }

    pub fn is_csv(&self) -> bool {
        self.csv.is_some()
    }

    /// The row that `data` begins with; more of the same is given again after [`Cut::More`]. `whole`: nothing follows.
    pub fn cut(&mut self, data: &[u8], whole: bool) -> Cut {
        let before = self.ends;
        let cut = if self.csv.is_some() { self.in_csv(data, whole) } else { self.in_text(data, whole) };
        match cut {
            Cut::More => Cut::More,
            Cut::Line(mut line) => {
                (line.feeds, line.returns, line.before) = (self.feeds, self.returns, before);
                self.begin();
                Cut::Line(line)
            }
            other => {
                self.begin();
                other
            }
        }
    }

    fn begin(&mut self) {
        (self.at, self.feeds, self.returns) = (0, 0, 0);
        if let Some(csv) = &mut self.csv {
            (csv.in_quote, csv.escaped) = (false, false);
        }
    }

    /// All was looked at up to `at`.
    fn wait(&mut self, at: usize) -> Cut {
        self.at = at;
        Cut::More
    }

    fn in_text(&mut self, data: &[u8], whole: bool) -> Cut {
        let mut at = self.at;
        while let Some(found) = data.get(at..).and_then(|rest| memchr3(b'\n', b'\r', b'\\', rest)) {
            let place = at + found;
            match (data.get(place), data.get(place + 1)) {
                (Some(b'\n'), _) => return self.feed(place),
                (Some(b'\r'), _) => return self.carriage(data, place, whole),
                (_, Some(b'.')) => return self.marker(data, place, whole).unwrap_or(Cut::Wrong),
                // Whatever follows is data: the end of a line, too.
                (_, Some(_)) => at = place + 2,
                (_, None) if whole => break,
                (_, None) => return self.wait(place),
            }
        }
        self.rest(data, whole, at)
    }

    fn in_csv(&mut self, data: &[u8], whole: bool) -> Cut {
        let mut at = self.at;
        let Some(mut csv) = self.csv.clone() else { return Cut::Wrong };
        if at == 0 && csv.marked && data.starts_with(b"\\") {
            match data.get(1) {
                None if !whole => return Cut::More,
                Some(b'.') => match self.marker(data, 0, whole) {
                    Some(cut) => return cut,
                    None => at = 1,
                },
                _ => at = 1,
            }
        }
        loop {
            let rest = data.get(at..).unwrap_or_default();
            if csv.in_quote {
                let end = csv.leave(rest);
                let quoted = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                self.feeds += memchr_iter(b'\n', quoted).count() as u64;
                self.returns += memchr_iter(b'\r', quoted).count() as u64;
                at += quoted.len();
                if end.is_none() {
                    break;
                }
                continue;
            }
            let Some(found) = memchr3(csv.quote, b'\n', b'\r', rest) else {
                at += rest.len();
                break;
            };
            let place = at + found;
            match data.get(place) {
                Some(byte) if *byte == csv.quote => {
                    csv.in_quote = true;
                    csv.escaped = false;
                    at = place + 1;
                }
                Some(b'\n') => return self.feed(place),
                _ => {
                    self.csv = Some(csv);
                    return self.carriage(data, place, whole);
                }
            }
        }
        self.csv = Some(csv);
        self.rest(data, whole, at)
    }

    /// No end of a line is at hand.
    fn rest(&mut self, data: &[u8], whole: bool, at: usize) -> Cut {
        match data.len() {
            _ if !whole => self.wait(at),
            0 => Cut::End,
            len => Cut::Line(Line { len, text: len, last: true, ..Line::default() }),
        }
    }

    fn feed(&mut self, place: usize) -> Cut {
        if matches!(self.ends, Ends::Return | Ends::Both) {
            return Cut::Wrong;
        }
        self.ends = Ends::Feed;
        Cut::Line(Line { len: place + 1, text: place, ..Line::default() })
    }

    fn carriage(&mut self, data: &[u8], place: usize, whole: bool) -> Cut {
        let (ends, len) = match (self.ends, data.get(place + 1)) {
            (Ends::Feed, _) => return Cut::Wrong,
            (Ends::Return, _) => (Ends::Return, place + 1),
            (_, None) if !whole => return self.wait(place),
            (_, Some(b'\n')) => (Ends::Both, place + 2),
            (Ends::Both, _) => return Cut::Wrong,
            (Ends::Unknown, _) => (Ends::Return, place + 1),
        };
        self.ends = ends;
        Cut::Line(Line { len, text: place, ..Line::default() })
    }

    /// `\.` at `place`. `None`: in CSV, it is data.
    fn marker(&mut self, data: &[u8], place: usize, whole: bool) -> Option<Cut> {
        let csv = self.csv.is_some();
        let other = |csv: bool| if csv { None } else { Some(Cut::Wrong) };
        let mut at = place + 2;
        if self.ends == Ends::Both {
            match data.get(at) {
                None if !whole => return Some(self.wait(place)),
                Some(b'\r') => at += 1,
                _ => return other(csv),
            }
        }
        let end = match data.get(at) {
            None if !whole => return Some(self.wait(place)),
            Some(end @ (b'\r' | b'\n')) => *end,
            _ => return other(csv),
        };
        let wanted = match self.ends {
            Ends::Unknown => end,
            Ends::Feed | Ends::Both => b'\n',
            Ends::Return => b'\r',
        };
        Some(match place {
            _ if end != wanted => Cut::Wrong,
            0 => Cut::End,
            // What stands before the marker is a row.
            _ => Cut::Line(Line { len: at + 1, text: place, last: true, ..Line::default() }),
        })
    }
}

impl Csv {
    /// Where `rest`, which is within quotes, leaves them: behind the quote. `None`: not in these bytes.
    fn leave(&mut self, rest: &[u8]) -> Option<usize> {
        let Some(escape) = self.escape else {
            let end = memchr(self.quote, rest)? + 1;
            self.in_quote = false;
            return Some(end);
        };
        let mut at = 0;
        loop {
            let Some(found) = memchr2(self.quote, escape, rest.get(at..).unwrap_or_default()) else {
                self.escaped &= at == rest.len();
                return None;
            };
            self.escaped &= found == 0;
            at += found + 1;
            if rest.get(at - 1) == Some(&escape) {
                self.escaped = !self.escaped;
            } else if self.escaped {
                self.escaped = false;
            } else {
                self.in_quote = false;
                return Some(at);
            }
        }
    }
}
