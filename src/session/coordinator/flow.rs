//! A scatter whose rows are read as they are wanted: each shard keeps a portal, and says as many rows as are asked for.
//! For portals with a row limit and for cursors.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::describe::Prepared;
use super::gather::Way;
use super::multi::{Bind, Extra, Over, Question, all_types, put_portal, text_of};
use super::relay::shard_lost;
use super::rest::{Gathered, same_types};
use super::shard::{Expect, ShardLink};
use super::stream::{Merge, News, malformed, order_of};
use super::types::Named;
use super::welcome::put_body;
use super::{Coordinator, Go, Stop};
use crate::backend::memory::Held;
use crate::base::{PgError, limits};
use crate::execute::merge::Order;
use crate::execute::row;
use crate::plan::sharded::{Finish, Input, Scatter};
use crate::wire::frame::{HEADER, back, front};
use crate::wire::message;

/// Rows of a statement over shards that haven't all been read.
pub(super) struct Flow {
    sources: Vec<Source>,
    order: Option<Order>,
    visible: usize,
    /// Rows have columns of ours behind the visible ones.
    hidden: bool,
    offset: u64,
    left: Option<u64>,
    ties: bool,
    /// With ties: the row that others may tie with.
    last: Option<Vec<u8>>,
    /// Rows that one shard is asked for at a time, as their size allows.
    most: usize,
}

/// One shard's part.
struct Source {
    shard: usize,
    portal: String,
    /// Bodies of rows that were read ahead.
    rows: VecDeque<Vec<u8>>,
    done: bool,
    named: Option<Rc<Named>>,
    /// Where the portal is over temporary tables: their connection, and the room that they take.
    aside: Option<(Box<ShardLink>, Held)>,
}

/// What becomes of rows.
pub(super) enum To<'a> {
    Client,
    Nobody,
    /// Also kept, as whole frames.
    Kept(&'a mut Vec<Vec<u8>>, bool),
}

impl Coordinator {
    /// Opens portals for a scatter, within a block.
    pub(super) async fn open_flow(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        shards: &[usize],
        bind: &Bind,
    ) -> Go<Flow> {
        prepared.runs.set(prepared.runs.get().saturating_add(1));
        let scatter = self.suited(scatter)?;
        self.may_read(&scatter.views).await?;
        let flow = self.flow_of(prepared, scatter, shards, bind).await;
        flow.map_err(|stop| super::multi::as_owner(scatter, stop))
    }

    async fn flow_of(&mut self, prepared: &Prepared, scatter: &Scatter, shards: &[usize], bind: &Bind) -> Go<Flow> {
        let view = self.view().await?;
        let extra = self.once(scatter, shards).await?;
        match self.broadcast(prepared, scatter, bind, &extra, &view).await? {
            Way::Gather(begun) => {
                self.flow_over(prepared, scatter, Over { shards, bind, extra: &extra, view: &view, begun }).await
            }
            Way::Broadcast(sent) => {
                let over = Over { shards: &sent.shards, bind, extra: &sent.extra, view: &view, begun: None };
                self.flow_over(prepared, &sent.scatter, over).await
            }
        }
    }

    async fn flow_over(&mut self, prepared: &Prepared, scatter: &Scatter, over: Over<'_>) -> Go<Flow> {
        let Over { shards, bind, extra, view, .. } = over;
        let visible = prepared.described.get().map_or(0, |described| described.columns.len());
        let rest = match &scatter.finish {
            Finish::Changed(_) | Finish::Fed(_) | Finish::Found(_) | Finish::Moved(_) | Finish::Copied(_) => {
                return Err(super::multi::nothing_asked().into());
            }
            Finish::Rest { sql } => sql,
            Finish::Stream { order, hidden, limit, offset, with_ties, instead } => {
                let input = scatter.inputs.first().ok_or_else(super::multi::nothing_asked)?;
                match (self.merge_order(prepared, input, order, view, extra).await?, instead) {
                    (Some(merge), _) => {
                        let sources = self.open_sources(prepared, input, shards, bind, extra, merge, *hidden).await?;
                        return Ok(Flow {
                            hidden: sources.2 > visible,
                            sources: sources.0,
                            order: sources.1,
                            visible,
                            offset: bind.rows(offset.as_ref(), true)?.unwrap_or(0),
                            left: bind.rows(limit.as_ref(), false)?,
                            ties: *with_ties,
                            last: None,
                            most: FIRST,
                        });
                    }
                    (None, Some(rest)) => rest,
                    (None, None) => return Err(super::multi::no_order().into()),
                }
            }
        };
        let gathered = self.gathered(prepared, scatter, rest, over).await?;
        let source = self.open_rest(prepared, gathered, bind).await?;
        Ok(Flow {
            sources: vec![source],
            order: None,
            visible,
            hidden: false,
            offset: 0,
            left: None,
            ties: false,
            last: None,
            most: FIRST,
        })
    }

    /// A portal of the rest of a statement.
    async fn open_rest(&mut self, prepared: &Prepared, gathered: Gathered, bind: &Bind) -> Go<Source> {
        let Gathered { sql, extra: all, shard, spool, held, .. } = gathered;
        let question = Question { sql, types: all_types(prepared, &all), results: bind.results.clone(), named: None };
        let mut source = self.source(shard);
        source.named = self.named_results(shard, prepared.described.get(), bind);
        let mut link = match spool {
            Some(spool) => spool.link,
            None => self.engage(shard).await?,
        };
        put_portal(&mut link, &self.question_for(shard, &question), bind, &all, false, &source.portal);
        drop((all, question));
        message::put(&mut link.out, front::DESCRIBE, |out| {
            out.push(b'P');
            message::put_cstr(out, source.portal.as_bytes());
        });
        link.expect.push_back(Expect::Describe { ours: true });
        link.sync();
        let answer = self.ask(&mut link).await?;
        match link.aside {
            true => source.aside = Some((link, held)),
            false => self.put_link(shard, link),
        }
        same_types(prepared.described.get(), answer.good()?.row.as_deref())?;
        Ok(source)
    }

    fn source(&mut self, shard: usize) -> Source {
        self.made += 1;
        let portal = format!("pgbraid_f{}", self.made);
        Source { shard, portal, rows: VecDeque::new(), done: false, named: None, aside: None }
    }

    /// A portal on each shard; the order of their rows, and how many columns they have.
    #[allow(clippy::too_many_arguments, reason = "one call, from the flow")]
    async fn open_sources(
        &mut self,
        prepared: &Prepared,
        input: &Input,
        shards: &[usize],
        bind: &Bind,
        extra: &Extra,
        merge: Merge,
        hidden: usize,
    ) -> Go<(Vec<Source>, Option<Order>, usize)> {
        let visible = prepared.described.get().map_or(0, |described| described.columns.len());
        let mut results: Vec<i16> = (0..visible).map(|at| bind.result(at)).collect();
        let own = results.len() + hidden;
        results.resize(own, 1);
        let mut sql = text_of(&input.sql, prepared, &[]);
        let order = match merge {
            Merge::No => None,
            Merge::By(keys) => Some(order_of(keys, &mut results, &mut sql, own)),
        };
        let width = results.len();
        let question = Question { sql, types: all_types(prepared, extra), results, named: None };
        for &shard in shards {
            let link = self.engage(shard).await?;
            self.put_link(shard, link);
        }
        let again = prepared.runs.get() > 1;
        let mut sources = Vec::new();
        let bound = self.binds_together(shards.len());
        for &shard in shards {
            let mut source = self.source(shard);
            source.named = self.named_results(shard, prepared.described.get(), bind);
            if !bound {
                let mut link = self.take_link(shard)?;
                put_portal(&mut link, &self.question_for(shard, &question), bind, extra, again, &source.portal);
                link.sync();
                self.put_link(shard, link);
            }
            sources.push(source);
        }
        if bound {
            let questions: Vec<_> = shards.iter().map(|&shard| (shard, self.question_for(shard, &question))).collect();
            let portals: Vec<String> = sources.iter().map(|source| source.portal.clone()).collect();
            self.bind_together(&questions, bind, extra, again, &portals).await?;
            return Ok((sources, order, width));
        }
        let mut failure = None;
        for &shard in shards {
            let mut link = self.take_link(shard)?;
            let answer = self.ask(&mut link).await?;
            self.put_link(shard, link);
            failure = failure.or(answer.error);
        }
        match failure {
            Some(error) => Err(error.into()),
            None => Ok((sources, order, width)),
        }
    }

    /// The next rows, at most `count`; how many there were.
    pub(super) async fn flow_rows(&mut self, flow: &mut Flow, count: usize, to: &mut To<'_>) -> Go<usize> {
        let mut told = 0;
        while told < count {
            let Some(body) = self.next_row(flow, count - told).await? else { break };
            if flow.offset > 0 {
                flow.offset -= 1;
                continue;
            }
            if let Some(left) = &mut flow.left {
                *left = left.saturating_sub(1);
            }
            told += 1;
            self.put_row(flow, &body, to)?;
            if self.output.len() >= limits::RELAY_BUFFER {
                self.flush().await?;
            }
        }
        Ok(told)
    }

    fn put_row(&mut self, flow: &Flow, body: &[u8], to: &mut To<'_>) -> Go {
        let mut frame = Vec::new();
        let (tell, out) = match to {
            To::Nobody => return Ok(()),
            To::Client => (true, &mut self.output),
            To::Kept(_, tell) => (*tell, &mut frame),
        };
        if flow.hidden {
            if !row::put_visible(out, body, flow.visible) {
                return Err(malformed().into());
            }
        } else {
            put_body(out, back::DATA_ROW, body);
        }
        if let To::Kept(rows, _) = to {
            if tell {
                self.output.extend_from_slice(&frame);
            }
            rows.push(frame);
        }
        Ok(())
    }

    /// The least of the sources' next rows.
    async fn next_row(&mut self, flow: &mut Flow, wanted: usize) -> Go<Option<Vec<u8>>> {
        if flow.left == Some(0) && !flow.ties {
            self.close_flow(flow);
            return Ok(None);
        }
        // Without an order any row will do.
        let lacks = |source: &Source| source.rows.is_empty() && !source.done;
        let needs = match &flow.order {
            Some(_) => flow.sources.iter().any(lacks),
            None => flow.sources.iter().all(|source| source.rows.is_empty()) && flow.sources.iter().any(lacks),
        };
        if needs {
            let skipped = usize::try_from(flow.offset).unwrap_or(usize::MAX);
            self.refill(flow, wanted.saturating_add(skipped)).await?;
        }
        let mut least: Option<usize> = None;
        for (at, source) in flow.sources.iter().enumerate() {
            let Some(body) = source.rows.front() else { continue };
            let other = least.and_then(|least| flow.sources.get(least)?.rows.front());
            let better = match (other, &flow.order) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(other), Some(order)) => order.compare(body, other).ok_or_else(malformed)? == Ordering::Less,
            };
            if better {
                least = Some(at);
            }
        }
        let Some(body) = least.and_then(|at| flow.sources.get_mut(at)?.rows.pop_front()) else { return Ok(None) };
        if let (true, Some(order)) = (flow.ties, &flow.order) {
            match (flow.left, &flow.last) {
                (Some(0), Some(last)) if order.compare(last, &body) == Some(Ordering::Equal) => {}
                (Some(0), _) => {
                    self.close_flow(flow);
                    return Ok(None);
                }
                (Some(1), _) if flow.offset == 0 => flow.last = Some(body.clone()),
                _ => {}
            }
        }
        Ok(Some(body))
    }

    /// Asks all shards whose rows ran out for more, at the same time.
    async fn refill(&mut self, flow: &mut Flow, wanted: usize) -> Go {
        let count = wanted.clamp(AHEAD, flow.most.max(AHEAD)).min(flow.most);
        let mut asked: Vec<(usize, Box<ShardLink>, bool)> = Vec::new();
        let mut held = None;
        for (at, source) in flow.sources.iter_mut().enumerate() {
            if !source.rows.is_empty() || source.done {
                continue;
            }
            let joined = self.links.get(source.shard).and_then(Option::as_ref).is_some_and(|link| link.joined);
            let mut link = match source.aside.take() {
                Some((link, own)) => {
                    held = Some(own);
                    link
                }
                None if joined => self.take_link(source.shard)?,
                None => return Err(gone().into()),
            };
            message::put(&mut link.out, front::EXECUTE, |out| {
                message::put_cstr(out, source.portal.as_bytes());
                out.extend_from_slice(&(count as u32).to_be_bytes());
            });
            link.expect.push_back(Expect::Execute);
            link.sync();
            asked.push((at, link, false));
        }
        let mut bytes = 0;
        let result = self.read_rows(flow, &mut asked, &mut bytes).await;
        if matches!(result, Err(Stop::Over)) {
            asked.iter().for_each(|(_, link, _)| link.cancel());
            return Err(Stop::Over);
        }
        for (at, mut link, ended) in asked {
            if !ended && self.run_out(&mut link).await.is_err() {
                continue;
            }
            link.expect.clear();
            (link.open, link.failed) = (false, false);
            link.rest(&self.worker);
            match flow.sources.get_mut(at) {
                Some(source) if link.aside => source.aside = Some(link).zip(held.take()),
                Some(source) => self.put_link(source.shard, link),
                None => {}
            }
        }
        let rows: usize = flow.sources.iter().map(|source| source.rows.len()).sum();
        if let Some(size) = bytes.checked_div(rows) {
            flow.most = (limits::FLOW_BYTES / (size + 1)).clamp(1, limits::FLOW_ROWS);
        }
        result
    }

    async fn read_rows(
        &mut self,
        flow: &mut Flow,
        asked: &mut [(usize, Box<ShardLink>, bool)],
        bytes: &mut usize,
    ) -> Go {
        let worker = self.worker.clone();
        let mut failure = None;
        let mut news: Vec<News> = Vec::new();
        self.or_gone(poll_fn(|cx| {
            for (at, link, ended) in asked.iter_mut() {
                let Some(source) = flow.sources.get_mut(*at) else { continue };
                while !*ended {
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
                        back::DATA_ROW => {
                            *bytes += body.len();
                            let mut body = body.to_vec();
                            if let Some(named) = &source.named {
                                named.to_client(&mut body);
                            }
                            source.rows.push_back(body);
                        }
                        back::COMMAND_COMPLETE => source.done = true,
                        back::ERROR_RESPONSE if failure.is_none() => {
                            failure = Some(message::read_error(body).into_error());
                        }
                        back::READY_FOR_QUERY => {
                            link.status = body.first().copied().unwrap_or(b'I');
                            *ended = true;
                        }
                        back::PARAMETER_STATUS | back::NOTICE_RESPONSE | back::NOTIFICATION_RESPONSE
                            if news.len() < limits::NEWS =>
                        {
                            news.push((link.shard, frame.tag, body.to_vec()));
                        }
                        _ => {}
                    }
                    link.input.consume(frame.len);
                }
            }
            if asked.iter().all(|(_, _, ended)| *ended) { Poll::Ready(Ok(())) } else { Poll::Pending }
        }))
        .await??;
        self.pass_news(news);
        match failure {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// No more of its rows are wanted: the portals are closed with what is sent to the shards next.
    pub(super) fn close_flow(&mut self, flow: &mut Flow) {
        for source in &mut flow.sources {
            source.rows.clear();
            if std::mem::replace(&mut source.done, true) || source.aside.take().is_some() {
                continue;
            }
            if let Some(link) = self.links.get_mut(source.shard).and_then(Option::as_mut).filter(|link| link.joined) {
                message::put(&mut link.out, front::CLOSE, |out| {
                    out.push(b'P');
                    message::put_cstr(out, source.portal.as_bytes());
                });
                link.expect.push_back(Expect::Close { ours: true });
            }
        }
    }
}

/// Rows of the first question, before their size is known.
const FIRST: usize = 64;

/// At least so many are asked for, though fewer are wanted now.
const AHEAD: usize = 16;

fn gone() -> PgError {
    PgError::error(crate::base::SqlState::INVALID_CURSOR_NAME, "the rows of this portal are gone with its transaction")
}
