//! Extended messages up to Sync: what was put into a shard's link, when it is sent, and how all of them end.

use super::{Coordinator, Go, Stop};
use crate::wire::frame::front;
use crate::wire::message;

/// Extended messages since the last Sync.
#[derive(Debug, Default)]
pub(super) struct Segment {
    /// The shard that messages were put into, which may not have been sent.
    pub active: Option<usize>,
    /// Something failed: all up to Sync is dropped.
    pub skipping: bool,
    /// The shard that rows were changed on, outside a block.
    pub wrote: Option<usize>,
    /// Something came since the last Sync.
    begun: bool,
}

impl Segment {
    /// A message came.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// The active shard's link is gone.
    pub fn lost(&mut self) {
        self.active = None;
        self.skipping = true;
    }
}

impl Coordinator {
    pub(super) fn in_extended(&self) -> bool {
        self.segment.begun
    }

    /// All that was put into the active shard's link is sent and answered.
    pub(super) async fn settle(&mut self) -> Go {
        let Some(shard) = self.segment.active.take() else { return Ok(()) };
        let mut link = self.take_link(shard)?;
        let idle = link.expect.is_empty() && link.out.is_empty();
        if !idle {
            message::put(&mut link.out, front::FLUSH, |_| {});
        }
        self.put_link(shard, link);
        if idle {
            return Ok(());
        }
        self.relay(shard).await?;
        if self.segment.skipping { Err(Stop::Told) } else { Ok(()) }
    }

    /// Sync.
    pub(super) async fn synced(&mut self) -> Go {
        // No shard commits before the others have answered.
        if !self.segment.skipping && self.links.iter().flatten().filter(|link| link.open).count() > 1 {
            match self.settle().await {
                Err(Stop::Over) => return Err(Stop::Over),
                Err(Stop::Error(error)) => {
                    self.tell(*error);
                    self.segment.skipping = true;
                }
                _ => {}
            }
        }
        let segment = std::mem::take(&mut self.segment);
        let mut result = self.sync_shards(&segment).await;
        if let Some(block) = self.block.take_if(|block| !block.explicit) {
            let good = result.is_ok() && !segment.skipping && !self.segment.skipping && !block.failed;
            let ended = self.end_own(&block, good).await;
            result = result.and(ended);
        }
        if self.block.is_none() {
            self.end_cursors();
        }
        self.segment = Segment::default();
        match result {
            Err(Stop::Over) => return Err(Stop::Over),
            Err(Stop::Error(error)) => self.tell(*error),
            _ => {}
        }
        self.ready();
        Ok(())
    }

    async fn sync_shards(&mut self, segment: &Segment) -> Go {
        let failed = segment.skipping;
        let open: Vec<usize> = (0..self.links.len())
            .filter(|&at| self.links.get(at).and_then(Option::as_ref).is_some_and(|link| link.open || link.failed))
            .collect();
        for shard in open {
            let mut link = self.take_link(shard)?;
            if failed && !link.failed && !link.joined {
                // What it did in this segment must not be committed: the segment failed elsewhere.
                message::parse(&mut link.out, b"", b"ROLLBACK", &[0, 0]);
                message::put(&mut link.out, front::BIND, |out| out.extend_from_slice(&[0; 8]));
                message::put(&mut link.out, front::EXECUTE, |out| out.extend_from_slice(&[0; 5]));
                link.unnamed = 0;
                link.sync();
                let answer = self.ask(&mut link).await?;
                let _ = answer;
                self.put_link(shard, link);
                continue;
            }
            link.sync();
            if failed && segment.active != Some(shard) {
                self.ask(&mut link).await?;
                self.put_link(shard, link);
                continue;
            }
            self.put_link(shard, link);
            self.relay(shard).await?;
        }
        Ok(())
    }
}
