//! COPY … TO STDOUT over several shards: one stream, with one header.

use std::future::poll_fn;
use std::rc::Rc;

use super::change::count_of;
use super::decide::{Decision, Target};
use super::describe::Prepared;
use super::multi::Bind;
use super::relay::shard_lost;
use super::{Coordinator, Go, Stop};

use crate::base::{PgError, SqlState, limits};
use crate::execute::copy::writer::Writer;
use crate::execute::copy::{BINARY_END, BINARY_HEAD};
use crate::plan::sharded::copy_options::{self, CopyFormat, CopyKind, Forced};
use crate::plan::sharded::{self, Finish};
use crate::sql::ast::{self, CopySource, Span};
use crate::sql::quote::ident;
use crate::wire::frame::{HEADER, back};
use crate::wire::message;

/// A COPY whose rows come as a query's answer.
pub(super) struct Copying {
    writer: Writer,
    /// Bytes of the output that are the COPY's already.
    done: usize,
}

impl Coordinator {
    /// COPY of a table's or a query's rows: each shard's own COPY in turn where their rows one after another are the answer.
    pub(super) async fn copy_out(
        &mut self,
        prepared: &Prepared,
        plan: &sharded::Plan,
        copy: &ast::Copy,
        shards: &[usize],
    ) -> Go {
        if !copy.stdio {
            return Err(PgError::error(
                SqlState::FEATURE_NOT_SUPPORTED,
                "pgbraid can't COPY several shards to a server's file or program",
            )
            .hint("COPY … TO STDOUT; in psql, \\copy.")
            .into());
        }
        let scatter = super::decide::scatter_of(plan).map_err(super::decide::refusal_error)?;
        let plain = scatter.once.is_empty()
            && scatter.inputs.len() == 1
            && matches!(
                &scatter.finish,
                Finish::Stream { order, hidden: 0, limit: None, offset: None, .. } if order.is_empty()
            );
        let version = self.view().await?.schema.version;
        let format = match copy_options::read(copy, &prepared.sql, self.standard_strings(), version, None) {
            Ok(format) => format,
            Err(refusal) => {
                self.own_words_of_copy_out(prepared, copy).await?;
                return Err(self.refuse(super::decide::refusal_error(&refusal), refusal.reason));
            }
        };
        // Values in binary may name types, which have other OIDs there.
        let names = format.kind == CopyKind::Binary && shards.iter().any(|&shard| self.other_types(shard).is_some());
        let query = match &copy.source {
            CopySource::Statement(_, span) if !plain || names || self.binds_together(shards.len()) => *span,
            _ => return self.copy_together(prepared, &format, shards).await,
        };
        self.copy_query(prepared, copy, query, format).await
    }

    /// The query runs as any other, and its answer is written as a COPY's.
    async fn copy_query(&mut self, prepared: &Prepared, copy: &ast::Copy, query: Span, format: CopyFormat) -> Go {
        self.writable(&format).await?;
        let inner = self.query_of_copy(prepared, query);
        let decision = self.decide(&inner).await?;
        let plan = match &*decision {
            Decision::Planned(plan) => plan,
            Decision::Refused(error, reason) => return Err(self.refuse((**error).clone(), reason)),
            _ => return Err(not_a_query().into()),
        };
        self.describe_copied(prepared, copy, &inner).await?;
        let view = self.view().await?;
        let shards = match self.target(&plan.access, &view, &|_| None)? {
            Target::One(shard) => vec![shard],
            Target::Many(shards) => shards,
        };
        let scatter = super::decide::scatter_of(plan).map_err(super::decide::refusal_error)?;
        let binary = i16::from(format.kind == CopyKind::Binary);
        let bind = Bind { results: vec![binary], ..Bind::default() };
        self.copying = Some(Copying { writer: Writer::new(format), done: self.output.len() });
        let done = self.scatter(&inner, (scatter, plan.writes), &shards, &bind, true).await;
        self.write_copy();
        self.copying = None;
        done
    }

    /// The query of a COPY, at its place in the client's text, so that errors name that.
    fn query_of_copy(&self, prepared: &Prepared, parentheses: Span) -> Rc<Prepared> {
        let before = prepared.sql.get(..parentheses.start as usize + 1).unwrap_or_default();
        let query = Span::new(parentheses.start + 1, parentheses.end - 1).of(&prepared.sql);
        let sql: String = before.chars().map(|_| ' ').chain(query.chars()).collect();
        self.text(&sql, &[0, 0], false)
    }

    /// A COPY … TO that is refused may be one that PostgreSQL refuses: its own words on the query and the options come first.
    pub(super) async fn own_words_of_copy_out(&mut self, prepared: &Prepared, copy: &ast::Copy) -> Go {
        match &copy.source {
            CopySource::Statement(_, query) => {
                let inner = self.query_of_copy(prepared, *query);
                self.describe_copied(prepared, copy, &inner).await
            }
            CopySource::Table(name, columns) => {
                let list = columns.as_ref().map_or_else(
                    || "*".to_owned(),
                    |columns| columns.iter().map(|column| ident(&column.value)).collect::<Vec<_>>().join(", "),
                );
                let query = format!("SELECT {list} FROM {} WHERE false", name.span.of(&prepared.sql));
                self.judge_copy(prepared, copy, &query).await
            }
        }
    }

    /// What has been added to the output is made the COPY's.
    pub(super) fn write_copy(&mut self) {
        let Some(copying) = &mut self.copying else { return };
        if copying.done < self.output.len() {
            let answer = self.output.split_off(copying.done);
            copying.writer.turn(&answer, &mut self.output);
        }
        copying.done = self.output.len();
    }

    /// All of it has gone to the client.
    pub(super) fn output_sent(&mut self) {
        if let Some(copying) = &mut self.copying {
            copying.done = 0;
        }
    }

    /// Whether rows can be written here: in the client's encoding, in which bytes of ASCII are characters.
    async fn writable(&mut self, format: &CopyFormat) -> Go {
        let server = self.view().await?.schema.encoding.clone();
        let settings = self.settings();
        let client = settings.get("client_encoding").map(|value| crate::session::value_text(value).to_owned());
        let client = client.unwrap_or_else(|| "UTF8".to_owned());
        if format.encoding.is_none() && super::copy_deal::reading(&client, &server).is_some() {
            return Ok(());
        }
        let text = "COPY of this query over several shards can't be written in another encoding than the client's, nor in one where \
                    bytes of ASCII may be parts of other characters";
        Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
            .hint("SET client_encoding TO 'UTF8', and leave ENCODING out.")
            .into())
    }

    /// PostgreSQL's own words in its order: on the options, the query, and columns that options name.
    async fn describe_copied(&mut self, prepared: &Prepared, copy: &ast::Copy, inner: &Prepared) -> Go {
        let standard = self.standard_strings();
        let named = copy_options::read(copy, &prepared.sql, standard, 0, None)
            .is_ok_and(|format| matches!(format.force_quote, Forced::Of(_)));
        if !named {
            self.judge_copy(prepared, copy, "SELECT WHERE false").await?;
        }
        self.describe(inner).await?;
        if !named {
            return Ok(());
        }
        let columns = inner.described.get().map(|described| described.columns.as_slice()).unwrap_or_default();
        let list: Vec<String> = columns.iter().map(|column| format!("1 AS {}", ident(&column.name))).collect();
        self.judge_copy(prepared, copy, &format!("SELECT {} WHERE false", list.join(", "))).await
    }

    /// What PostgreSQL says of a COPY of this query with the client's options. It gives no rows.
    async fn judge_copy(&mut self, prepared: &Prepared, copy: &ast::Copy, query: &str) -> Go {
        let Some(options) = copy.options.map(|span| span.of(&prepared.sql)) else { return Ok(()) };
        let sql = format!("COPY ({query}) TO STDOUT {options}");
        let home = self.home();
        let mut link = self.engage(home).await?;
        let answer = self.run_on(&mut link, &sql).await?;
        self.put_link(home, link);
        answer.good()?;
        Ok(())
    }

    /// Each shard's COPY in turn.
    pub(super) async fn copy_shards(&mut self, prepared: &Prepared, format: &CopyFormat, shards: &[usize]) -> Go {
        let binary = format.kind == CopyKind::Binary;
        for &shard in shards.iter().filter(|_| binary) {
            self.refuse_named_copy(shard, &prepared.sql)?;
        }
        let mut headed = false;
        let mut rows = 0u64;
        for (turn, &shard) in shards.iter().enumerate() {
            let mut link = self.engage(shard).await?;
            link.query(&prepared.sql, true);
            let mut skip = format.header && !binary && turn > 0;
            let mut failure = None;
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
                let bytes = link.input.filled().get(..frame.len).unwrap_or_default();
                match frame.tag {
                    back::COPY_OUT_RESPONSE if turn == 0 => self.output.extend_from_slice(bytes),
                    back::COPY_DATA if std::mem::take(&mut skip) => {}
                    back::COPY_DATA if binary => {
                        let mut data = bytes.get(HEADER..).unwrap_or_default();
                        data = data.strip_prefix(BINARY_HEAD).unwrap_or(data);
                        if data != BINARY_END {
                            put_binary(&mut self.output, &mut headed, data);
                        }
                    }
                    back::COPY_DATA => self.output.extend_from_slice(bytes),
                    back::COMMAND_COMPLETE => {
                        let tag = bytes.get(HEADER..).and_then(|tag| tag.strip_suffix(b"\0"));
                        rows += tag.and_then(count_of).unwrap_or(0);
                    }
                    back::ERROR_RESPONSE => {
                        failure = Some((message::read_error(bytes.get(HEADER..).unwrap_or_default()), bytes.to_vec()))
                    }
                    back::READY_FOR_QUERY => {
                        link.status = bytes.get(HEADER).copied().unwrap_or(b'I');
                        link.input.consume(frame.len);
                        link.expect.clear();
                        break;
                    }
                    _ => {}
                }
                link.input.consume(frame.len);
                if self.output.len() >= limits::RELAY_BUFFER
                    && let Err(stop) = self.flush().await
                {
                    link.cancel();
                    return Err(stop);
                }
            }
            link.rest(&self.worker);
            self.put_link(shard, link);
            if let Some((error, frame)) = failure {
                let stop: Stop = self.tell_frame(&error, &frame);
                return Err(stop);
            }
        }
        if binary {
            put_binary(&mut self.output, &mut headed, BINARY_END);
        }
        message::put(&mut self.output, back::COPY_DONE, |_| {});
        message::command_complete(&mut self.output, &format!("COPY {rows}"));
        Ok(())
    }
}

fn not_a_query() -> PgError {
    PgError::error(SqlState::FEATURE_NOT_SUPPORTED, "this COPY over several shards isn't supported")
        .hint("COPY a table or a query, or use SELECT.")
}

/// A message of a stream in binary, which begins with the head.
fn put_binary(out: &mut Vec<u8>, headed: &mut bool, data: &[u8]) {
    let head = if std::mem::replace(headed, true) { &[] } else { BINARY_HEAD };
    message::put(out, back::COPY_DATA, |out| {
        out.extend_from_slice(head);
        out.extend_from_slice(data);
    });
}
