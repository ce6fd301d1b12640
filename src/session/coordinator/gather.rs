//! Rows of shards, collected for the rest of a statement: in memory, and from there on in temporary tables.

mod broadcast;
mod semi;

pub(super) use semi::KnownSize;
use semi::Narrowed;

use std::future::poll_fn;
use std::task::Poll;

use super::decide::Target;
use super::describe::{Column as Described, Prepared};
use super::multi::{Bind, Extra, Question, all_types, text_of};
use super::relay::shard_lost;
use super::shard::ShardLink;
use super::spool::Spool;
use super::together::values_of;
use super::{Coordinator, Go, Stop};
use crate::backend::View;
use crate::backend::memory::Held;
use crate::base::footprint::WriteSet;
use crate::base::{PgError, SqlState, limits};
use crate::execute::arrays::{Column, travels_binary};
use crate::execute::tables::Chunk;
use crate::plan::sharded::{Finish, Input, Piece, Scatter, shown};
use crate::wire::frame::{HEADER, back};
use crate::wire::message;

/// Inputs that are being collected.
pub(super) struct Gathering {
    pub held: Held,
    /// In the order in which they are collected.
    pub slots: Vec<Slot>,
    /// Why memory doesn't suffice: rows go to temporary tables from then on.
    pub over: Option<PgError>,
    /// They can't: why.
    stuck: Option<&'static str>,
    /// The rest calls what may write.
    pub draws: bool,
    /// The shard that has them, once there are some.
    pub on: usize,
    pub spool: Option<Spool>,
}

/// Inputs some of which may have been collected.
pub(super) struct Begun {
    gathering: Gathering,
    /// Each input's place, if it has come.
    slots: Vec<Option<usize>>,
    /// How much servers think that each has, where that matters.
    sizes: Vec<Option<semi::Size>>,
    /// All come in one answer from each shard.
    together: bool,
}

impl Begun {
    fn size(&self, at: usize) -> Option<semi::Size> {
        self.sizes.get(at).copied().flatten()
    }
}

pub(super) use self::broadcast::{Sent, Way};

/// One input's rows.
pub(super) struct Slot {
    pub columns: Vec<Column>,
    /// On their way to its table.
    pub chunk: Chunk,
    /// The table is there.
    pub made: bool,
    /// Shards that gave rows: how many, and how many bytes.
    pub from: Vec<(usize, u64, u64)>,
}

/// What becomes of rows.
pub(super) enum Into<'a> {
    /// Given to this.
    Take(&'a mut Held, &'a mut Take<'a>),
    /// Collected. By shard, the slots of the inputs that it is asked for.
    Gather(&'a mut Gathering, &'a [Vec<usize>]),
}

/// Takes a row of a shard's.
pub(super) type Take<'a> = dyn FnMut(usize, Vec<Option<&[u8]>>) + 'a;

/// The reference tables that stand in a rest can't be read from where the temporary tables are.
const READS: &str = "The rest of it reads tables, which another connection would see as of another moment.";

impl Into<'_> {
    /// Takes a row. True: enough for now.
    fn take(&mut self, shard: usize, body: &[u8]) -> Result<bool, PgError> {
        let values = message::read_data_row(body).ok_or_else(super::stream::malformed)?;
        match self {
            Self::Take(held, take) => {
                held.add(body.len())?;
                take(shard, values);
                Ok(false)
            }
            Self::Gather(gathering, on) => {
                let slots = on.get(shard).map(Vec::as_slice).unwrap_or_default();
                gathering.take(shard, slots, &values, body.len())
            }
        }
    }
}

impl Gathering {
    /// One more input.
    fn add(&mut self, columns: Vec<Column>) -> usize {
        self.slots.push(Slot { columns, chunk: Chunk::default(), made: false, from: Vec::new() });
        self.slots.len() - 1
    }

    fn take(
        &mut self,
        shard: usize,
        inputs: &[usize],
        values: &[Option<&[u8]>],
        bytes: usize,
    ) -> Result<bool, PgError> {
        let width = |slot: usize| self.slots.get(slot).map_or(0, |slot| slot.columns.len());
        let Some((slot, values)) = values_of(inputs, values, width) else {
            return Err(super::stream::malformed());
        };
        let Some(slot) = self.slots.get_mut(slot) else { return Err(super::stream::malformed()) };
        match slot.from.iter_mut().find(|(other, ..)| *other == shard) {
            Some((_, rows, all)) => {
                *rows += 1;
                *all += bytes as u64;
            }
            None => slot.from.push((shard, 1, bytes as u64)),
        }
        if self.over.is_none() {
            match self.held.add(bytes) {
                Ok(()) => {
                    slot.columns.iter_mut().zip(values).for_each(|(column, value)| column.push(*value));
                    return Ok(false);
                }
                Err(error) if !self.held.may_store() => return Err(error),
                Err(error) => match self.stuck {
                    Some(why) => return Err(error.detail(why)),
                    None => self.over = Some(error),
                },
            }
            self.held.store(self.held.held())?;
            self.held.count_spooled();
        }
        self.held.store(bytes)?;
        slot.chunk.push(values);
        Ok(self.spool.is_none() || slot.chunk.len() >= limits::SPOOL_BYTES)
    }
}

impl Coordinator {
    /// Nothing is collected yet. `narrows`: inputs may be made smaller by others' keys.
    async fn begin(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        (bind, extra, view): (&Bind, &Extra, &View),
    ) -> Go<Begun> {
        let gathering = Gathering {
            held: self.database.shared.memory.hold(),
            slots: Vec::new(),
            over: None,
            stuck: (scatter.rest_reads && wider(scatter).is_none()).then_some(READS),
            draws: prepared.plan.steps.iter().any(|step| step.writes != WriteSet::None),
            on: self.tables_shard(prepared),
            spool: None,
        };
        let together = scatter.inputs.len() > 1 && self.block.as_ref().is_some_and(|block| !block.keeps_snapshot());
        let sizes = match together {
            true => Vec::new(),
            false => self.sizes(prepared, scatter, bind, extra, view).await?,
        };
        Ok(Begun { gathering, slots: vec![None; scatter.inputs.len()], sizes, together })
    }

    /// Collects all inputs of a scatter, but for what was collected before. What stands for each in the rest, and the rest,
    /// which is another one where reference tables were to be among the inputs.
    pub(super) async fn collect<'a>(
        &mut self,
        prepared: &Prepared,
        scatter: &'a Scatter,
        sql: &'a [Piece],
        (bind, extra, view): (&Bind, &Extra, &View),
        begun: Option<Begun>,
    ) -> Go<(Gathering, Vec<usize>, &'a [Piece])> {
        let mut begun = match begun {
            Some(begun) => begun,
            None => self.begin(prepared, scatter, (bind, extra, view)).await?,
        };
        if begun.together {
            self.collect_together(prepared, scatter, bind, extra, view, &mut begun.gathering).await?;
            return Ok((begun.gathering, (0..scatter.inputs.len()).collect(), sql));
        }
        let (mut inputs, mut sql, mut wider) = (&scatter.inputs, sql, wider(scatter));
        loop {
            if begun.gathering.over.is_some()
                && let Some(wider) = wider.take()
            {
                let narrow = |at: usize| wider.places.iter().position(|&place| place == at);
                let slot = |at: usize| begun.slots.get(narrow(at)?).copied().flatten();
                begun.slots = (0..wider.inputs.len()).map(slot).collect();
                (inputs, sql) = (wider.inputs, wider.sql);
            }
            let open = (0..begun.slots.len()).filter(|&at| begun.slots.get(at).is_some_and(Option::is_none));
            // The smallest first, as long as its keys are at hand.
            let least = |a: &usize, b: &usize| match begun.gathering.over {
                None => semi::bytes(begun.size(*a)).total_cmp(&semi::bytes(begun.size(*b))),
                Some(_) => a.cmp(b),
            };
            let Some((at, input)) = open.min_by(least).and_then(|at| Some((at, inputs.get(at)?))) else { break };
            self.collect_next(prepared, input, at, (bind, extra, view), &mut begun).await?;
        }
        self.end_spooling(&mut begun.gathering).await?;
        Ok((begun.gathering, begun.slots.into_iter().flatten().collect(), sql))
    }

    /// One more input, with the keys of those that have come.
    async fn collect_next(
        &mut self,
        prepared: &Prepared,
        input: &Input,
        at: usize,
        (bind, extra, view): (&Bind, &Extra, &View),
        begun: &mut Begun,
    ) -> Go {
        let mut narrowed = None;
        if begun.gathering.over.is_none() && !begun.sizes.is_empty() {
            let held = |input: usize, column: usize| {
                begun.gathering.slots.get(begun.slots.get(input).copied().flatten()?)?.columns.get(column)
            };
            narrowed = self.narrowed(prepared, input, begun.size(at), bind, extra, view, held).await?;
        }
        let gathering = &mut begun.gathering;
        let slot = match &narrowed {
            Some(Narrowed { input, extra, apart }) => {
                self.collect_input(prepared, input, bind, (extra, apart.as_deref()), view, gathering).await?
            }
            None => self.collect_input(prepared, input, bind, (extra, None), view, gathering).await?,
        };
        begun.slots.iter_mut().skip(at).take(1).for_each(|place| *place = Some(slot));
        Ok(())
    }

    /// A place for an input's rows.
    pub(super) async fn slot_of(
        &mut self,
        prepared: &Prepared,
        input: &Input,
        extra: &Extra,
        view: &View,
        gathering: &mut Gathering,
    ) -> Go<(usize, std::sync::Arc<Vec<Described>>)> {
        let described = self.input_columns(prepared, input, extra).await?;
        Ok((gathering.add(made_columns(&described, view)?), described))
    }

    /// One input's rows, from all its shards at once, or from those that are told something `apart`. Its slot.
    async fn collect_input(
        &mut self,
        prepared: &Prepared,
        input: &Input,
        bind: &Bind,
        (extra, apart): (&Extra, Option<&[(usize, Extra)]>),
        view: &View,
        gathering: &mut Gathering,
    ) -> Go<usize> {
        let (slot, described) = self.slot_of(prepared, input, extra, view, gathering).await?;
        let shards = match apart {
            Some(apart) => apart.iter().map(|(shard, _)| *shard).collect(),
            None => self.input_shards(prepared, input, bind, view)?,
        };
        let question = Question {
            sql: text_of(&input.sql, prepared, &[]),
            types: all_types(prepared, extra),
            results: described.iter().map(|column| i16::from(travels_binary(column.type_oid))).collect(),
            named: None,
        };
        let asked = shards.iter().map(|&shard| (shard, self.question_for(shard, &question))).collect();
        let links =
            self.put_questions(asked, bind, (extra, apart.unwrap_or_default()), prepared.runs.get() > 1).await?;
        let links = links.into_iter().map(|(shard, link)| (shard, link, false)).collect();
        let on: Vec<Vec<usize>> =
            (0..self.links.len()).map(|shard| if shards.contains(&shard) { vec![slot] } else { Vec::new() }).collect();
        self.collect_links(links, &mut Into::Gather(gathering, &on)).await?;
        Ok(slot)
    }

    /// Which shards an input's rows are on.
    pub(super) fn input_shards(&self, prepared: &Prepared, input: &Input, bind: &Bind, view: &View) -> Go<Vec<usize>> {
        let values = self.bound(prepared, bind);
        Ok(match self.target(&input.access, view, &|number| values(number))? {
            Target::One(shard) => vec![shard],
            Target::Many(shards) => shards,
        })
    }

    /// Takes the rows of shards that were asked, and puts the links back.
    pub(super) async fn collect_links(
        &mut self,
        mut links: Vec<(usize, Box<ShardLink>, bool)>,
        into: &mut Into<'_>,
    ) -> Go {
        let result = self.collect_rows(&mut links, into).await;
        for (_, link, ended) in &links {
            if result.is_err() && !ended {
                link.cancel();
            }
        }
        if matches!(result, Err(Stop::Over)) {
            return Err(Stop::Over);
        }
        for (shard, mut link, ended) in links {
            if !ended && self.run_out(&mut link).await.is_err() {
                continue;
            }
            link.expect.clear();
            link.open = false;
            link.failed = false;
            link.rest(&self.worker);
            self.put_link(shard, link);
        }
        result
    }

    async fn collect_rows(&mut self, links: &mut [(usize, Box<ShardLink>, bool)], into: &mut Into<'_>) -> Go {
        while !links.iter().all(|(_, _, ended)| *ended) {
            self.collect_some(links, into).await?;
            if let Into::Gather(gathering, _) = into {
                self.spool(gathering, false).await?;
            }
            if self.output.len() >= limits::RELAY_BUFFER {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// The same until all have ended, have given enough for now, or have said much besides.
    async fn collect_some(&mut self, links: &mut [(usize, Box<ShardLink>, bool)], into: &mut Into<'_>) -> Go {
        let worker = self.worker.clone();
        let mut news = Vec::new();
        let collected = self
            .or_gone(poll_fn(|cx| {
                let mut enough = false;
                for (shard, link, ended) in links.iter_mut() {
                    while !*ended && !enough {
                        let frame = match link.poll_frame(cx, &worker) {
                            Poll::Pending => break,
                            Poll::Ready(Ok(frame)) => frame,
                            Poll::Ready(Err(error)) => {
                                *ended = true;
                                return Poll::Ready(Err(Stop::from(shard_lost(&error))));
                            }
                        };
                        let body = link.input.filled().get(HEADER..frame.len).unwrap_or_default();
                        match frame.tag {
                            back::DATA_ROW => match into.take(*shard, body) {
                                Ok(full) => enough = full,
                                Err(error) => return Poll::Ready(Err(error.into())),
                            },
                            back::ERROR_RESPONSE => {
                                let error = message::read_error(body).into_error();
                                link.input.consume(frame.len);
                                link.failed = true;
                                return Poll::Ready(Err(error.into()));
                            }
                            back::PARAMETER_STATUS | back::NOTICE_RESPONSE | back::NOTIFICATION_RESPONSE => {
                                news.push((*shard, frame.tag, body.to_vec()));
                            }
                            back::READY_FOR_QUERY => {
                                link.status = body.first().copied().unwrap_or(b'I');
                                let failed = link.failed;
                                link.settle_prepared(failed);
                                *ended = true;
                            }
                            _ => {}
                        }
                        link.input.consume(frame.len);
                    }
                }
                let done = enough || news.len() >= limits::NEWS || links.iter().all(|(_, _, ended)| *ended);
                if done { Poll::Ready(Ok(())) } else { Poll::Pending }
            }))
            .await;
        self.pass_news(news);
        collected?
    }
}

/// The same scatter with reference tables among the inputs.
struct Wider<'a> {
    inputs: &'a Vec<Input>,
    sql: &'a [Piece],
    /// Where each input of the narrower one stands.
    places: Vec<usize>,
}

/// `None`: the rest reads nothing, or there is no such scatter that asks the same questions.
fn wider(scatter: &Scatter) -> Option<Wider<'_>> {
    let within = scatter.within.as_deref().filter(|within| scatter.rest_reads && !within.rest_reads)?;
    let Finish::Rest { sql } = &within.finish else { return None };
    let place = |input: &Input| within.inputs.iter().position(|other| same(input, other));
    let places: Option<Vec<usize>> = scatter.inputs.iter().map(place).collect();
    Some(Wider { inputs: &within.inputs, sql, places: places? })
}

/// Whether two plans' inputs ask the same; what others' keys leave out of them isn't needed in either.
fn same(one: &Input, other: &Input) -> bool {
    // A WHERE of ours stands only where there are such keys.
    let asked = |input: &Input| {
        let asked = input.sql.iter().filter(|piece| !matches!(piece, Piece::Semi(_)));
        let asked = shown(&asked.cloned().collect::<Vec<Piece>>());
        asked.strip_suffix(" WHERE true").unwrap_or(&asked).to_string()
    };
    asked(one) == asked(other) && one.access == other.access && one.columns == other.columns
}

/// Where an input's values are collected.
pub(super) fn made_columns(described: &[Described], view: &View) -> Result<Vec<Column>, PgError> {
    let mut columns = Vec::new();
    for column in described {
        columns.push(Column::new(column.type_oid, &view.schema).ok_or_else(|| {
            let text = format!("values of the column \"{}\" can't be collected over shards", column.name);
            PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                .hint("Cast it to a type that a table's column can have.")
        })?);
    }
    Ok(columns)
}
