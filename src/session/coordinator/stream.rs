//! Rows of several shards to the client as they come, or merged by order; no more than one row a shard is held.

use std::cmp::Ordering;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::describe::{Described, Prepared};
use super::multi::{Bind, Extra, Question, all_types, text_of};
use super::relay::shard_lost;
use super::shard::ShardLink;
use super::types::Named;
use super::welcome::{put_body, with_formats};
use super::{Coordinator, Go, Stop};
use crate::backend::View;
use crate::base::{PgError, SqlState, limits};
use crate::catalog::schema::{Collation, Provider};
use crate::execute::merge::Order;
use crate::execute::row;
use crate::plan::sharded::{Input, SortKey};
use crate::value::collation;
use crate::value::compare::{Comparator, comparator};
use crate::value::key::Format;
use crate::wire::frame::{HEADER, back};
use crate::wire::{Frame, message};

/// What servers say besides answers: which shard, the message's tag and body.
pub(super) type News = (usize, u8, Vec<u8>);

/// One streaming execution.
pub(super) struct Run<'a> {
    pub input: &'a Input,
    pub order: Merge,
    pub hidden: usize,
    pub limit: Option<u64>,
    pub offset: u64,
    pub with_ties: bool,
}

/// How rows are put in order.
pub(super) enum Merge {
    /// As they come.
    No,
    /// By these keys.
    By(Vec<Key>),
}

/// A merge's key, its type, and how values compare.
pub(super) struct Key {
    key: SortKey,
    type_oid: u32,
    comparator: Comparator,
}

/// A shard that is answering.
struct Source {
    shard: usize,
    link: Box<ShardLink>,
    state: State,
    named: Option<Rc<Named>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing known of its next row.
    Waiting,
    /// Its next row, whole, lies at the head of the link's input; its frame's length.
    Row(usize),
    /// It said CommandComplete; ReadyForQuery may be still to come.
    Done,
    /// It said all.
    Ended,
}

/// Where rows go.
struct Sink {
    visible: usize,
    hidden: bool,
    offset: u64,
    left: Option<u64>,
    told: u64,
}

impl Coordinator {
    /// The order to merge by, where every key can be compared here. `None`: it can't.
    pub(super) async fn merge_order(
        &mut self,
        prepared: &Prepared,
        input: &Input,
        order: &[SortKey],
        view: &View,
        extra: &Extra,
    ) -> Go<Option<Merge>> {
        if order.is_empty() {
            return Ok(Some(Merge::No));
        }
        let columns = self.input_columns(prepared, input, extra).await?;
        let mut keys = Vec::new();
        for key in order {
            let Some(column) = columns.get(key.column) else { return Ok(None) };
            let rule = key.collation.as_ref().map(|collation| rule_of(collation, &view.schema.collation));
            let Some(comparator) = comparator(column.type_oid, Format::Binary, rule.flatten().as_ref()) else {
                return Ok(None);
            };
            keys.push(Key { key: key.clone(), type_oid: column.type_oid, comparator });
        }
        Ok(Some(Merge::By(keys)))
    }

    /// Asks all shards and passes their rows on.
    pub(super) async fn stream(
        &mut self,
        prepared: &Prepared,
        run: Run<'_>,
        shards: &[usize],
        bind: &Bind,
        extra: &Extra,
        describe: bool,
    ) -> Go {
        self.worker.metrics.scattered.inc();
        let described = prepared.described.get();
        let visible = described.map_or(0, |described| described.columns.len());
        let mut results: Vec<i16> = (0..visible).map(|at| bind.result(at)).collect();
        let own = results.len() + run.hidden;
        results.resize(own, 1);
        let mut sql = text_of(&run.input.sql, prepared, &[]);
        let order = match run.order {
            Merge::No => None,
            Merge::By(keys) => Some(order_of(keys, &mut results, &mut sql, own)),
        };
        let hidden = results.len() > visible;
        let question = Question { sql, types: all_types(prepared, extra), results, named: None };
        let mut sources = Vec::new();
        let asked = shards.iter().map(|&shard| (shard, self.question_for(shard, &question))).collect();
        for (shard, link) in self.put_questions(asked, bind, (extra, &[]), prepared.runs.get() > 1).await? {
            let named = self.named_results(shard, described, bind);
            sources.push(Source { shard, link, state: State::Waiting, named });
        }
        if describe && let Some(row) = described.and_then(Described::told) {
            put_body(&mut self.output, back::ROW_DESCRIPTION, &with_formats(row, &bind.results));
        }
        let mut sink = Sink { visible, hidden, offset: run.offset, left: run.limit, told: 0 };
        let result = match &order {
            None => self.pass_rows(&mut sources, &mut sink).await,
            Some(order) => self.merge_rows(&mut sources, order, &mut sink, run.with_ties).await,
        };
        self.end_sources(sources, result).await?;
        message::command_complete(&mut self.output, &format!("SELECT {}", sink.told));
        Ok(())
    }

    /// Rows as they come, from whichever shard has some.
    async fn pass_rows(&mut self, sources: &mut [Source], sink: &mut Sink) -> Go {
        loop {
            for source in sources.iter_mut() {
                while let State::Row(length) = source.state {
                    self.emit(source, length, sink)?;
                    source.state = State::Waiting;
                    source.look()?;
                }
            }
            if self.output.len() >= limits::RELAY_BUFFER {
                self.flush().await?;
            }
            if sources.iter().all(|source| source.state == State::Ended) {
                return Ok(());
            }
            self.await_sources(sources, |sources| {
                sources.iter().any(|source| matches!(source.state, State::Row(_)))
                    || sources.iter().all(|source| source.state == State::Ended)
            })
            .await?;
        }
    }

    /// The least row of all shards' next ones, again and again.
    async fn merge_rows(&mut self, sources: &mut [Source], order: &Order, sink: &mut Sink, ties: bool) -> Go {
        let mut last: Option<Vec<u8>> = None;
        loop {
            self.await_sources(sources, |sources| !sources.iter().any(|source| source.state == State::Waiting)).await?;
            let mut least: Option<usize> = None;
            for (at, source) in sources.iter().enumerate() {
                let Some(body) = source.row() else { continue };
                let better = match least.and_then(|least| sources.get(least)).and_then(Source::row) {
                    None => true,
                    Some(other) => order.compare(body, other).ok_or_else(malformed)? == Ordering::Less,
                };
                if better {
                    least = Some(at);
                }
            }
            let Some(source) = least.and_then(|least| sources.get_mut(least)) else {
                if sources.iter().all(|source| source.state == State::Ended) {
                    return Ok(());
                }
                self.await_sources(sources, |sources| sources.iter().all(|source| source.state == State::Ended))
                    .await?;
                continue;
            };
            let State::Row(length) = source.state else { continue };
            if ties {
                let body = source.row().unwrap_or_default();
                match (sink.left, &last) {
                    (Some(0), Some(last)) if order.compare(last, body) == Some(Ordering::Equal) => sink.left = Some(1),
                    (Some(1), _) => last = Some(body.to_vec()),
                    _ => {}
                }
            }
            self.emit(source, length, sink)?;
            source.state = State::Waiting;
            source.look()?;
            if self.output.len() >= limits::RELAY_BUFFER {
                self.flush().await?;
            }
        }
    }

    fn emit(&mut self, source: &mut Source, length: usize, sink: &mut Sink) -> Go {
        let frame = source.link.input.filled().get(..length).unwrap_or_default();
        if sink.offset > 0 {
            sink.offset -= 1;
        } else if sink.left != Some(0) {
            if let Some(left) = &mut sink.left {
                *left -= 1;
            }
            let start = self.output.len() + HEADER;
            if sink.hidden {
                if !row::put_visible(&mut self.output, frame.get(HEADER..).unwrap_or_default(), sink.visible) {
                    return Err(malformed().into());
                }
            } else {
                self.output.extend_from_slice(frame);
            }
            if let (Some(named), Some(body)) = (&source.named, self.output.get_mut(start..)) {
                named.to_client(body);
            }
            sink.told += 1;
        }
        source.link.input.consume(length);
        Ok(())
    }

    /// Waits until enough is known of the sources.
    async fn await_sources(&mut self, sources: &mut [Source], enough: impl Fn(&[Source]) -> bool) -> Go {
        let worker = self.worker.clone();
        while !enough(sources) {
            let mut news = Vec::new();
            let waited = self
                .or_gone(poll_fn(|cx| {
                    for source in sources.iter_mut() {
                        if matches!(source.state, State::Row(_) | State::Ended) {
                            continue;
                        }
                        match source.poll(cx, &worker, &mut news) {
                            Poll::Ready(Err(stop)) => return Poll::Ready(Err(stop)),
                            Poll::Ready(Ok(())) | Poll::Pending => {}
                        }
                    }
                    let full = news.len() >= limits::NEWS;
                    if full || enough(sources) { Poll::Ready(Ok(())) } else { Poll::Pending }
                }))
                .await;
            self.pass_news(news);
            waited??;
            if self.output.len() >= limits::RELAY_BUFFER {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// What shards said besides their answers. The same notice of several shards is told once.
    pub(super) fn pass_news(&mut self, news: Vec<News>) {
        for (at, (shard, tag, body)) in news.iter().enumerate() {
            match *tag {
                back::PARAMETER_STATUS => self.pass_parameter(*shard, body),
                back::NOTIFICATION_RESPONSE => put_body(&mut self.tail, *tag, body),
                _ => {
                    let again = |other: &News| other.1 == *tag && other.0 != *shard && other.2 == *body;
                    if !news.iter().take(at).any(again) {
                        put_body(&mut self.output, *tag, body);
                    }
                }
            }
        }
    }

    /// All shards come to rest. After an error the others are cancelled, and what they still say is dropped.
    async fn end_sources(&mut self, sources: Vec<Source>, result: Go) -> Go {
        let failed = result.is_err();
        let over = matches!(result, Err(Stop::Over));
        for source in &sources {
            if failed && source.state != State::Ended {
                source.link.cancel();
            }
        }
        for mut source in sources {
            if over {
                continue;
            }
            if source.state != State::Ended {
                match self.ask(&mut source.link).await {
                    Ok(_) => {}
                    Err(Stop::Over) => return Err(Stop::Over),
                    // The link is gone; so is what it ran.
                    Err(_) => continue,
                }
            }
            source.link.expect.clear();
            source.link.open = false;
            source.link.failed = false;
            source.link.rest(&self.worker);
            self.put_link(source.shard, source.link);
        }
        result
    }
}

impl Source {
    fn row(&self) -> Option<&[u8]> {
        match self.state {
            State::Row(length) => self.link.input.filled().get(HEADER..length),
            _ => None,
        }
    }

    /// Whether a whole row lies at hand.
    fn look(&mut self) -> Go {
        if let Ok(Some(frame)) = Frame::parse(self.link.input.filled())
            && frame.tag == back::DATA_ROW
            && self.link.input.len() >= frame.len
        {
            self.state = State::Row(frame.len);
        }
        Ok(())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &crate::session::Worker,
        news: &mut Vec<News>,
    ) -> Poll<Result<(), Stop>> {
        loop {
            let frame = match self.link.poll_frame(cx, worker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(frame)) => frame,
                Poll::Ready(Err(error)) => {
                    self.state = State::Ended;
                    return Poll::Ready(Err(lost(&error)));
                }
            };
            let body = self.link.input.filled().get(HEADER..frame.len).unwrap_or_default();
            match frame.tag {
                back::DATA_ROW => {
                    self.state = State::Row(frame.len);
                    return Poll::Ready(Ok(()));
                }
                back::COMMAND_COMPLETE => self.state = State::Done,
                back::PARAMETER_STATUS | back::NOTICE_RESPONSE | back::NOTIFICATION_RESPONSE => {
                    news.push((self.shard, frame.tag, body.to_vec()));
                }
                back::ERROR_RESPONSE => {
                    let error = message::read_error(body).into_error();
                    self.link.input.consume(frame.len);
                    self.link.failed = true;
                    return Poll::Ready(Err(Stop::Error(Box::new(error))));
                }
                back::READY_FOR_QUERY => {
                    self.link.status = body.first().copied().unwrap_or(b'I');
                    self.link.input.consume(frame.len);
                    let failed = self.link.failed;
                    self.link.settle_prepared(failed);
                    self.state = State::Ended;
                    return Poll::Ready(Ok(()));
                }
                _ => {}
            }
            self.link.input.consume(frame.len);
        }
    }
}

/// The order by keys that come in a form that can be compared. A key that is an output column in the client's text format
/// is asked for once more, in binary, behind the others.
pub(super) fn order_of(keys: Vec<Key>, results: &mut Vec<i16>, sql: &mut String, own: usize) -> Order {
    let mut again = Vec::new();
    let mut pairs = Vec::new();
    for Key { mut key, type_oid, comparator } in keys {
        let comparable = results.get(key.column) == Some(&1) || IN_TEXT.contains(&type_oid);
        if !comparable {
            again.push(format!("c{}", key.column));
            key.column = results.len();
            results.push(1);
        }
        pairs.push((key, comparator));
    }
    if !again.is_empty() {
        let names: Vec<String> = (0..own).map(|at| format!("c{at}")).collect();
        *sql = format!("SELECT *, {} FROM ({sql}) AS braided({})", again.join(", "), names.join(", "));
    }
    Order::new(pairs)
}

/// Types whose text format is their binary one: name, text, char(n), varchar.
const IN_TEXT: [u32; 4] = [19, 25, 1042, 1043];

fn lost(error: &io::Error) -> Stop {
    shard_lost(error).into()
}

pub(super) fn malformed() -> PgError {
    PgError::error(SqlState::PROTOCOL_VIOLATION, "a shard sent a row that can't be read")
}

/// By what rule a collation orders text. `None`: not by one that is known here.
fn rule_of(collation: &Collation, default: &Collation) -> Option<collation::Order> {
    let collation = if collation.name == "\"default\"" || collation.name == "default" { default } else { collation };
    if !collation.deterministic {
        return None;
    }
    Some(match collation.provider {
        Provider::Bytes => collation::Order::Bytes,
        Provider::Libc => {
            collation::Order::Libc { locale: collation.locale.clone(), version: collation.version.clone() }
        }
        Provider::Icu => collation::Order::Icu { locale: collation.locale.clone() },
    })
}
