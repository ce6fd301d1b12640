//! `COPY … FROM STDIN` into several shards: the client's rows are dealt out, in one transaction.

use std::future::poll_fn;
use std::task::Poll;

use super::copy_deal::{ByKey, Dealing, Intake, Need, reading};
use super::copy_lane::Lane;
use super::describe::Prepared;
use super::multi::text_of;
use super::relay::shard_lost;
use super::shard::ShardLink;
use super::{Coordinator, Go, Stop};
use crate::backend::View;
use crate::base::{PgError, SqlState, limits};
use crate::plan::Kind;
use crate::plan::sharded::copy_options::CopyFormat;
use crate::plan::sharded::{Copied, CopyKey, Deal, Fill, Scatter};
use crate::sql::ast::Statement;
use crate::sql::parse;
use crate::wire::Frame;
use crate::wire::frame::{HEADER, back, front, split_cstr};
use crate::wire::message;

/// What a shard is told whose rows aren't wanted any more.
const STOPPED: &str = "pgbraid stopped it: another shard failed";

/// How the client ended its stream.
enum Ending {
    Done,
    Failed(Vec<u8>),
}

impl Coordinator {
    pub(super) async fn copy_from(&mut self, prepared: &Prepared, scatter: &Scatter, copied: &Copied) -> Go {
        let sql = scatter.inputs.first().map(|input| text_of(&input.sql, prepared, &[])).unwrap_or_default();
        let own = self.begin_own();
        let result = self.copy_within(sql, copied).await;
        self.end_statement(own, result).await
    }

    async fn copy_within(&mut self, sql: String, copied: &Copied) -> Go<String> {
        let view = self.view().await?;
        if let Deal::Copies(table) = &copied.deal {
            self.refuse_copies_in_snapshot()?;
            let shards = self.home_first();
            for &shard in &shards {
                self.may_write(shard).await?;
            }
            self.lock_copies(table, &shards).await?;
        }
        let mut intake = Intake::new(copied, sql, view);
        self.read_clocks(&mut intake).await?;
        let result = match self.take_all(&mut intake).await {
            Err(Stop::Over) => {
                intake.lanes.iter().for_each(|lane| lane.link.cancel());
                return Err(Stop::Over);
            }
            Ok(Ending::Done) => self.conclude(&mut intake, None).await,
            Ok(Ending::Failed(words)) => {
                let words = String::from_utf8_lossy(&words).into_owned();
                self.conclude(&mut intake, Some(&words)).await
            }
            // Rows before it may have failed, which comes first.
            Err(stop) => match (self.conclude(&mut intake, Some(STOPPED)).await, stop) {
                (Ok(_), Stop::Told) => Err(read_otherwise().into()),
                (Ok(_), stop) => Err(stop),
                (told, _) => told,
            },
        };
        if intake.left > 0 && !matches!(result, Err(Stop::Over)) {
            self.skip_rest(intake.left).await?;
        }
        result
    }

    /// Begins on the shards that must take part, and takes all that the client sends.
    ///
    /// # Errors
    /// `Told`: one of the lanes has the error, which is told in the end.
    async fn take_all<'a>(&mut self, intake: &mut Intake<'a>) -> Go<Ending> {
        let home = self.home();
        let response = self.open_lane(intake, home).await?;
        let copied: &'a Copied = intake.copied;
        let format = match &copied.format {
            Ok(format) => format.clone(),
            Err(refusal) => return Err(self.refuse(super::decide::refusal_error(refusal), refusal.reason)),
        };
        match &copied.deal {
            Deal::Copies(_) => {
                for shard in self.home_first().into_iter().filter(|shard| *shard != home) {
                    self.open_lane(intake, shard).await?;
                }
            }
            Deal::ByKey(key) => intake.deal = self.dealing(key, &copied.fills, format, &intake.view)?,
        }
        super::welcome::put_body(&mut self.output, back::COPY_IN_RESPONSE, &response);
        self.flush().await?;
        self.take_in(intake).await
    }

    fn dealing<'a>(
        &self,
        key: &'a CopyKey,
        fills: &'a [Fill],
        format: CopyFormat,
        view: &View,
    ) -> Result<Dealing<'a>, PgError> {
        let settings = self.settings();
        let client = settings.get("client_encoding").map(|value| crate::session::value_text(value).to_owned());
        let encoding = format.encoding.clone().or(client).unwrap_or_else(|| "UTF8".to_owned());
        let ascii = match reading(&encoding, &view.schema.encoding) {
            Some(exact) => !exact,
            None => {
                let text = format!("rows in the encoding {encoding} can't be dealt out to several shards");
                return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                    .hint("SET client_encoding TO 'UTF8', and send UTF-8."));
            }
        };
        Ok(Dealing::ByKey(Box::new(ByKey::new(key, fills, format, ascii))))
    }

    /// Has a shard take part. The body of its CopyInResponse.
    ///
    /// # Errors
    /// `Told`: the lane has the error.
    async fn open_lane(&mut self, intake: &mut Intake<'_>, shard: usize) -> Go<Vec<u8>> {
        let mut link = self.engage(shard).await?;
        let begun = self.begin_copy(&mut link, &intake.sql).await?;
        let mut lane = Lane::new(shard, link, limits::COPY_JOURNAL / self.links.len().max(1));
        let response = match begun {
            Ok(response) => Ok(response),
            Err(failure) => {
                lane.failure = Some(failure);
                Err(Stop::Told)
            }
        };
        intake.lanes.push(lane);
        response
    }

    /// Begins a COPY on a shard: the body of its CopyInResponse; or its error and the error's frame, ReadyForQuery not read.
    async fn begin_copy(&mut self, link: &mut ShardLink, sql: &str) -> Go<Result<Vec<u8>, (PgError, Vec<u8>)>> {
        link.query(sql, true);
        loop {
            let worker = self.worker.clone();
            let frame = match self.or_gone(poll_fn(|cx| link.poll_frame(cx, &worker))).await {
                Ok(Ok(frame)) => frame,
                Ok(Err(error)) => return Err(shard_lost(&error).into()),
                Err(stop) => {
                    link.cancel();
                    return Err(stop);
                }
            };
            let bytes = link.input.filled().get(..frame.len).unwrap_or_default().to_vec();
            let body = bytes.get(HEADER..).unwrap_or_default();
            link.input.consume(frame.len);
            match frame.tag {
                back::COPY_IN_RESPONSE => return Ok(Ok(body.to_vec())),
                back::ERROR_RESPONSE => return Ok(Err((message::read_error(body).into_error(), bytes))),
                back::PARAMETER_STATUS | back::NOTICE_RESPONSE | back::NOTIFICATION_RESPONSE => {
                    self.pass_news(vec![(link.shard, frame.tag, body.to_vec())]);
                }
                _ => {}
            }
        }
    }

    /// A COPY that is refused may be one that PostgreSQL refuses: its own words come first. It is begun on the home shard
    /// and broken off, which leaves nothing behind: the refusal fails the transaction.
    pub(super) async fn own_words_of_copy(&mut self, prepared: &Prepared) -> Go {
        match prepared.plan.steps.first().map(|step| &step.kind) {
            Some(Kind::CopyIn) => {}
            Some(Kind::CopyOut) => {
                let Ok(Statement::Copy(copy)) = parse(&prepared.sql, self.standard_strings()) else { return Ok(()) };
                return self.own_words_of_copy_out(prepared, &copy).await;
            }
            _ => return Ok(()),
        }
        let home = self.home();
        let mut link = self.engage(home).await?;
        let begun = self.begin_copy(&mut link, &prepared.sql).await?;
        if begun.is_ok() {
            message::put(&mut link.out, front::COPY_FAIL, |out| message::put_cstr(out, STOPPED.as_bytes()));
        }
        self.ask(&mut link).await?;
        self.put_link(home, link);
        match begun {
            Ok(_) => Ok(()),
            Err((error, frame)) => Err(self.tell_frame(&error, &frame)),
        }
    }

    /// Takes rows from the client until it ends its stream.
    ///
    /// # Errors
    /// A row can't be dealt. A shard's error stays with its lane.
    async fn take_in(&mut self, intake: &mut Intake<'_>) -> Go<Ending> {
        loop {
            let ending = self.take_frames(intake).await?;
            intake.lanes.iter_mut().for_each(Lane::close_frame);
            if let Some(ending) = ending {
                return Ok(ending);
            }
            self.await_rows(intake).await?;
            if intake.lanes.iter().any(Lane::has_failed) {
                return Err(Stop::Told);
            }
        }
    }

    /// Deals what is at hand, until a shard has enough.
    async fn take_frames(&mut self, intake: &mut Intake<'_>) -> Go<Option<Ending>> {
        while !intake.lanes.iter().any(Lane::is_full) {
            if intake.left > 0 {
                let count = intake.left.min(self.input.len());
                if count == 0 {
                    return Ok(None);
                }
                intake.push(self.input.filled().get(..count).unwrap_or_default());
                self.input.consume(count);
                intake.left -= count;
                self.deal_rows(intake).await?;
                continue;
            }
            let frame = match Frame::parse(self.input.filled()) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(error) => {
                    let text = format!("invalid message length ({error:?})");
                    return Err(self.tell_and_end(crate::session::upstream::protocol_error(text)).await);
                }
            };
            if frame.tag == front::COPY_DATA {
                self.input.consume(HEADER);
                intake.left = frame.len - HEADER;
                continue;
            }
            if matches!(frame.tag, front::COPY_DONE | front::COPY_FAIL | front::SYNC | front::FLUSH) {
                if frame.len > limits::RELAY_BUFFER {
                    let text = "a message within COPY is too long".to_owned();
                    return Err(self.tell_and_end(crate::session::upstream::protocol_error(text)).await);
                }
                if self.input.len() < frame.len {
                    self.input.reserve_total(frame.len);
                    return Ok(None);
                }
            }
            let ending = match frame.tag {
                // PostgreSQL takes no notice of them within COPY.
                front::SYNC | front::FLUSH => None,
                front::COPY_DONE => Some(Ending::Done),
                front::COPY_FAIL => {
                    let body = self.input.filled().get(HEADER..frame.len).unwrap_or_default();
                    Some(Ending::Failed(split_cstr(body).map_or(body, |(words, _)| words).to_vec()))
                }
                front::TERMINATE => return Err(Stop::Over),
                tag => {
                    let text = format!("unexpected message type 0x{tag:02X} during COPY from stdin");
                    return Err(PgError::error(SqlState::PROTOCOL_VIOLATION, text).into());
                }
            };
            self.input.consume(frame.len);
            if let Some(ending) = ending {
                if matches!(ending, Ending::Done) {
                    intake.finish();
                    self.deal_rows(intake).await?;
                }
                return Ok(Some(ending));
            }
        }
        Ok(None)
    }

    /// Deals the rows that are whole.
    async fn deal_rows(&mut self, intake: &mut Intake<'_>) -> Go {
        loop {
            match intake.deal()? {
                Need::More => return Ok(()),
                Need::Draw(rows) => self.draw_fills(intake, rows).await?,
                Need::Key(value) => {
                    let number = intake.line() + 1;
                    let place = self.ask_key(intake, value, number).await?;
                    if let Dealing::ByKey(by) = &mut intake.deal {
                        by.asked = Some(place);
                    }
                }
                Need::Shard(shard) => {
                    self.may_write(shard).await?;
                    if !intake.lanes.iter().any(|lane| lane.shard == shard) {
                        intake.lanes.iter_mut().for_each(Lane::close_frame);
                        self.open_lane(intake, shard).await?;
                    }
                    if let Some(lane) = intake.lanes.iter_mut().find(|lane| lane.shard == shard) {
                        lane.writes = true;
                    }
                }
            }
        }
    }

    /// Waits until a shard fails; or all have room and the client has sent more.
    async fn await_rows(&mut self, intake: &mut Intake<'_>) -> Go {
        let worker = self.worker.clone();
        let client = self.client.clone();
        let mut news = Vec::new();
        let had = self.input.len();
        // What was left because a shard was full goes on without more from the client.
        let waits = intake.lanes.iter().any(Lane::is_full) && had > 0;
        let result = poll_fn(|cx| {
            client.register(cx.waker());
            if client.is_killed() {
                return Poll::Ready(Err(Stop::Over));
            }
            intake.lanes.iter_mut().for_each(|lane| lane.poll(cx, &worker, &mut news));
            if intake.lanes.iter().any(Lane::has_failed) {
                return Poll::Ready(Ok(()));
            }
            if intake.lanes.iter().any(Lane::is_full) {
                return Poll::Pending;
            }
            if waits {
                return Poll::Ready(Ok(()));
            }
            if self.input.capacity() == 0 {
                self.input = worker.take_buffer();
            }
            if self.input.spare().is_empty() {
                return Poll::Ready(Ok(()));
            }
            match crate::session::relay::poll_fill(&mut self.stream, &mut self.input, cx) {
                Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(Stop::Over)),
                Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        self.pass_news(news);
        result?;
        self.flush_soon().await
    }

    /// Notices don't wait for the end.
    async fn flush_soon(&mut self) -> Go {
        if self.output.is_empty() { Ok(()) } else { self.flush().await }
    }

    /// Ends the COPY on all shards and gives its tag. `words`: it is broken off with them.
    ///
    /// # Errors
    /// The error of the client's first line that has one: told.
    async fn conclude(&mut self, intake: &mut Intake<'_>, words: Option<&str>) -> Go<String> {
        for lane in &mut intake.lanes {
            lane.close_frame();
            match words {
                None => message::put(&mut lane.link.out, front::COPY_DONE, |_| {}),
                Some(words) => {
                    message::put(&mut lane.link.out, front::COPY_FAIL, |out| message::put_cstr(out, words.as_bytes()));
                }
            }
        }
        self.drain(intake).await?;
        let next = intake.line() + 1;
        let mut count = 0;
        let mut counts = Vec::new();
        let mut failures = Vec::new();
        let mut lost = None;
        let mut odd = false;
        for mut lane in std::mem::take(&mut intake.lanes) {
            if let Some(error) = lane.lost.take() {
                lost = lost.or(Some(shard_lost(&error)));
                continue;
            }
            let answer = match self.ask(&mut lane.link).await {
                Ok(answer) => answer,
                Err(Stop::Error(error)) => {
                    lost = lost.or(Some(*error));
                    continue;
                }
                Err(stop) => return Err(stop),
            };
            self.output.extend_from_slice(&answer.notices);
            let failure = lane.failure.take().or(answer.error.map(|error| (error, answer.error_frame)));
            match failure {
                Some((error, _)) if words == Some(STOPPED) && error.message().contains(STOPPED) => {}
                Some((error, frame)) => {
                    let (frame, line) = match intake.deal {
                        Dealing::Copies => (frame, None),
                        Dealing::ByKey(_) => lane.renumbered(&frame, intake.copied, next),
                    };
                    failures.push((line.unwrap_or(u64::MAX), error, frame));
                }
                None => {
                    let told = super::change::count_of(&answer.tag).unwrap_or(0);
                    counts.push(told);
                    count += told;
                    odd |= lane.must_fail || if intake.copied.filtered { told > lane.rows } else { told != lane.rows };
                }
            }
            self.put_link(lane.shard, lane.link);
        }
        if let Some(error) = lost {
            return Err(error.into());
        }
        if let Some((_, error, frame)) = failures.into_iter().min_by_key(|(line, ..)| *line) {
            return Err(self.tell_frame(&error, &frame));
        }
        match &intake.copied.deal {
            Deal::Copies(table) if counts.iter().any(|other| Some(other) != counts.first()) => {
                Err(super::change::unequal(table).into())
            }
            Deal::Copies(_) => Ok(format!("COPY {}", counts.first().copied().unwrap_or(0))),
            Deal::ByKey(_) if odd && words.is_none() => Err(read_otherwise().into()),
            Deal::ByKey(_) => Ok(format!("COPY {count}")),
        }
    }

    /// Sends all that is to be sent.
    async fn drain(&mut self, intake: &mut Intake<'_>) -> Go {
        let worker = self.worker.clone();
        let mut news = Vec::new();
        let drained = self
            .or_gone(poll_fn(|cx| {
                let mut all = true;
                for lane in intake.lanes.iter_mut().filter(|lane| lane.lost.is_none()) {
                    match lane.link.poll_send(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => lane.lost = Some(error),
                        Poll::Pending => {
                            all = false;
                            lane.poll(cx, &worker, &mut news);
                        }
                    }
                }
                if all { Poll::Ready(()) } else { Poll::Pending }
            }))
            .await;
        self.pass_news(news);
        if drained.is_err() {
            intake.lanes.iter().for_each(|lane| lane.link.cancel());
        }
        drained
    }

    /// Drops the rest of a message whose COPY has failed.
    async fn skip_rest(&mut self, mut left: usize) -> Go {
        self.flush().await?;
        loop {
            let count = left.min(self.input.len());
            self.input.consume(count);
            left -= count;
            if left == 0 {
                return Ok(());
            }
            let client = self.client.clone();
            poll_fn(|cx| {
                client.register(cx.waker());
                if client.is_killed() {
                    return Poll::Ready(Err(Stop::Over));
                }
                if self.input.capacity() == 0 {
                    self.input = self.worker.take_buffer();
                }
                match crate::session::relay::poll_fill(&mut self.stream, &mut self.input, cx) {
                    Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(Stop::Over)),
                    Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await?;
        }
    }
}

/// A shard took what it should have refused, or counts other rows.
fn read_otherwise() -> PgError {
    PgError::error(SqlState::INTERNAL_ERROR, "a shard read the rows of COPY otherwise than pgbraid did")
        .detail("Nothing was kept.")
}
