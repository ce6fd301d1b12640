//! Values at random from a seed, and the bytes of a value as they come over the wire.

use std::error::Error;

use tokio_postgres::types::{FromSql, Type};

/// The binary format of a value of any type.
pub struct Raw(pub Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Of every size, near powers of two too.
    pub fn int(&mut self) -> i64 {
        match self.below(4) {
            0 => (self.next() % 200) as i64 - 100,
            1 => (1_i64 << self.below(63)).wrapping_add((self.next() % 3) as i64 - 1),
            2 => i64::MIN >> self.below(63),
            _ => self.next() as i64 >> self.below(63),
        }
    }

    /// Short and long, with blanks at either end, marks and letters that locales order in their own ways.
    pub fn text(&mut self) -> String {
        const LETTERS: &[&str] = &[
            "a", "b", "A", "B", "ab", " ", "-", "_", "'", ".", "é", "É", "e", "ß", "ss", "1", "10", "9", "日", "🦀",
            "ø", "z", "\t",
        ];
        let length = if self.below(20) == 0 { 300 } else { 14 };
        (0..self.below(length)).map(|_| self.pick(LETTERS)).collect()
    }

    pub fn uuid(&mut self) -> String {
        let digits = format!("{:016x}{:016x}", self.next(), self.next());
        let (a, b, c, d, e) = (&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]);
        match self.below(3) {
            0 => digits,
            1 => format!("{{{a}-{b}-{c}-{d}-{e}}}"),
            _ => format!("{a}-{b}-{c}-{d}-{e}").to_uppercase(),
        }
    }

    pub fn numeric(&mut self) -> String {
        let int = self.int();
        match self.below(6) {
            0 => self.pick(&["NaN", "Infinity", "-Infinity", "0", "-0.000", "1.0", "10000", "0.0001"]).to_owned(),
            1 => int.to_string(),
            2 => format!("{int}.{}", self.next() >> self.below(64)),
            3 => format!("{}e{}", int, self.below(60) as i64 - 30),
            4 => format!("{}.{:0width$}00", int % 100, self.next() % 1000, width = self.below(12)),
            _ => format!("{}{}", int, "0".repeat(self.below(12))),
        }
    }

    pub fn date(&mut self) -> String {
        format!("{:04}-{:02}-{:02}", 1 + self.below(9998), 1 + self.below(12), 1 + self.below(28))
    }

    pub fn timestamp(&mut self) -> String {
        let fraction = match self.below(3) {
            0 => String::new(),
            1 => format!(".{}", self.below(1000)),
            _ => format!(".{:06}", self.below(1_000_000)),
        };
        let (hour, minute, second) = (self.below(24), self.below(60), self.below(60));
        format!("{}{}{hour:02}:{minute:02}:{second:02}{fraction}", self.date(), self.pick(&[" ", "T"]))
    }
}
