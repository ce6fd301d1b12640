//! Which of the client's lines a shard's lines are: a byte or two a row, and not more than a set size in all.

use std::collections::VecDeque;

/// Bytes of a block, which is what is forgotten at a time.
const BLOCK: usize = 4096;

/// One shard's lines. Those that are too long ago are forgotten: a server has done with them.
#[derive(Debug)]
pub struct Journal {
    blocks: VecDeque<Block>,
    most: usize,
    /// The last line that was noted: the shard's number, and the client's.
    last: (u64, u64),
}

/// Lines that follow each other, by the distance from each to the next.
#[derive(Debug)]
struct Block {
    /// The line before its first.
    before: (u64, u64),
    steps: Vec<u8>,
}

impl Journal {
    /// Holds about `most` bytes.
    pub fn new(most: usize) -> Self {
        Self { blocks: VecDeque::new(), most: (most / BLOCK).max(2), last: (0, 0) }
    }

    /// The shard's line `shard` is the client's line `client`; both grow.
    pub fn note(&mut self, shard: u64, client: u64) {
        let steps = (shard.saturating_sub(self.last.0), client.saturating_sub(self.last.1));
        if self.blocks.back().is_none_or(|block| block.steps.len() > BLOCK - 20) {
            if self.blocks.len() >= self.most {
                self.blocks.pop_front();
            }
            self.blocks.push_back(Block { before: self.last, steps: Vec::with_capacity(BLOCK) });
        }
        if let Some(block) = self.blocks.back_mut() {
            // Nearly always the shard's number grows by one.
            let one = steps.0 == 1;
            put(&mut block.steps, steps.1 << 1 | u64::from(!one));
            if !one {
                put(&mut block.steps, steps.0);
            }
        }
        self.last = (shard, client);
    }

    /// The last line noted, by the shard's count.
    pub fn last(&self) -> u64 {
        self.last.0
    }

    /// The client's number of a shard's line. `None`: forgotten. A line that wasn't noted is within the next one that
    /// was; if there is none, lines are counted on from `next`, the client's own next.
    pub fn find(&self, shard: u64, next: u64) -> Option<u64> {
        if shard > self.last.0 {
            return Some(next + (shard - self.last.0 - 1));
        }
        let block = self.blocks.iter().rev().find(|block| block.before.0 < shard)?;
        let (mut at, mut steps) = (block.before, block.steps.as_slice());
        while at.0 < shard {
            let step = take(&mut steps)?;
            at.1 += step >> 1;
            at.0 += if step & 1 == 0 { 1 } else { take(&mut steps)? };
        }
        Some(at.1.saturating_sub(at.0 - shard))
    }
}

/// Seven bits a byte, the lowest first.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
