//! Small inputs that go along whole to the shards of another one, which then answer the statement with their rows.

use super::{Begun, semi};
use crate::backend::View;
use crate::backend::memory::Held;
use crate::base::limits;
use crate::execute::arrays::{from_item, unique_item};
use crate::plan::sharded::{Broadcast, Input, Piece, Scatter};
use crate::session::coordinator::describe::Prepared;
use crate::session::coordinator::multi::{Bind, Extra};
use crate::session::coordinator::{Coordinator, Go};

/// How a statement with several inputs goes on.
pub(in crate::session::coordinator) enum Way {
    /// They are collected, those that haven't been.
    Gather(Option<Begun>),
    Broadcast(Box<Sent>),
}

/// Shards that gave rows: how many, and how many bytes.
type Given = Vec<(usize, u64, u64)>;

/// Rows that go along, and what is asked with them.
pub(in crate::session::coordinator) struct Sent {
    /// The inputs that the rows are of.
    pub inputs: Vec<(usize, Given)>,
    pub scatter: Scatter,
    /// The shards that are asked.
    pub shards: Vec<usize>,
    /// Parameters, the rows among them.
    pub extra: Extra,
    /// Room that the rows take, until all is over.
    _held: Held,
}

impl Coordinator {
    /// Collects the inputs that are to go along to others' shards, if that pays by the servers' estimates: the rows go to
    /// each shard, so together they must be fewer bytes than what stays there, within memory, and few: every shard has to
    /// hash or sort them anew. Where they are more than was thought, all inputs are gathered, these among them.
    pub(in crate::session::coordinator) async fn broadcast(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        bind: &Bind,
        extra: &Extra,
        view: &View,
    ) -> Go<Way> {
        // In a READ COMMITTED transaction each shard is asked once.
        let together = self.block.as_ref().is_some_and(|block| !block.keeps_snapshot());
        if scatter.broadcasts.is_empty() || together || self.database.shared.memory.each() == 0 {
            return Ok(Way::Gather(None));
        }
        let mut begun = self.begin(prepared, scatter, (bind, extra, view)).await?;
        let mut best: Option<(f64, &Broadcast, Vec<usize>)> = None;
        for broadcast in &scatter.broadcasts {
            let Some(input) = broadcast.scatter.inputs.first() else { continue };
            let shards = self.input_shards(prepared, input, bind, view)?;
            let sum: f64 = broadcast.inputs.iter().map(|&at| semi::bytes(begun.size(at))).sum();
            // They come once, and go to each.
            let moved = sum * (shards.len() + 1) as f64;
            let stays = semi::bytes(begun.size(broadcast.stays));
            let most = self.database.shared.memory.each().min(limits::BROADCAST_BYTES) as f64;
            let pays = stays.is_finite() && moved < stays && moved <= most;
            if pays && best.as_ref().is_none_or(|(least, ..)| moved < *least) {
                best = Some((moved, broadcast, shards));
            }
        }
        let Some((_, broadcast, shards)) = best else { return Ok(Way::Gather(Some(begun))) };
        let mut order = broadcast.inputs.clone();
        order.sort_by(|a, b| semi::bytes(begun.size(*a)).total_cmp(&semi::bytes(begun.size(*b))));
        for at in order {
            let Some(input) = scatter.inputs.get(at) else { continue };
            self.collect_next(prepared, input, at, (bind, extra, view), &mut begun).await?;
            if begun.gathering.over.is_some() {
                return Ok(Way::Gather(Some(begun)));
            }
        }
        // A copy for each shard is on its way at the same time.
        let bytes = begun.gathering.held.held().saturating_mul(shards.len());
        if begun.gathering.held.add(bytes).is_err() {
            return Ok(Way::Gather(Some(begun)));
        }
        begun.gathering.held.count_broadcast();
        let own = prepared.described.get().map_or(0, |described| described.params.len());
        Ok(Way::Broadcast(Box::new(sent(begun, broadcast, shards, extra, own))))
    }
}

/// Of fewer rows PostgreSQL takes all values for different (`DEFAULT_NUM_DISTINCT`).
const FEW: u32 = 200;

/// What the shards are asked, with the rows as parameters behind `own` ones and those in `extra`.
fn sent(begun: Begun, broadcast: &Broadcast, shards: Vec<usize>, extra: &Extra, own: usize) -> Sent {
    let Begun { mut gathering, slots, .. } = begun;
    let mut extra = extra.clone();
    let mut items: Vec<(usize, String)> = Vec::new();
    let mut inputs = Vec::new();
    for &at in &broadcast.inputs {
        let slot = slots.get(at).copied().flatten().and_then(|slot| gathering.slots.get_mut(slot));
        let Some(slot) = slot else { continue };
        inputs.push((at, std::mem::take(&mut slot.from)));
        let columns = std::mem::take(&mut slot.columns);
        let first = own + extra.types.len() + 1;
        // A few rows are hashed without asking.
        let many = columns.first().is_some_and(|column| column.rows() >= FEW);
        let unique = |&&key: &&usize| columns.get(key).is_some_and(|column| column.binary && column.is_unique());
        items.push((
            at,
            match broadcast.keys.iter().find(unique).filter(|_| many) {
                Some(key) => unique_item(&columns, first, *key),
                None => from_item(&columns, first),
            },
        ));
        extra.rows += columns.len();
        for column in columns {
            extra.types.push(column.array_oid());
            extra.values.push(Some(column.into_array()));
        }
    }
    let asked = |input: &Input| {
        let piece = |piece: &Piece| match piece {
            Piece::Input(at) => {
                let item = items.iter().find(|(input, _)| input == at);
                Piece::Text(item.map_or_else(String::new, |(_, item)| item.clone()))
            }
            piece => piece.clone(),
        };
        Input { sql: input.sql.iter().map(piece).collect(), ..input.clone() }
    };
    let scatter = Scatter {
        inputs: broadcast.scatter.inputs.iter().map(asked).collect(),
        ..Scatter::new(Vec::new(), broadcast.scatter.finish.clone(), Vec::new())
    };
    Sent { inputs, scatter, shards, extra, _held: gathering.held }
}
