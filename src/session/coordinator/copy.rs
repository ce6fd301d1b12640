//! COPY … TO STDOUT over several shards: one stream, with one header.

use std::future::poll_fn;

use super::change::count_of;
use super::describe::Prepared;
use super::relay::shard_lost;
use super::{Coordinator, Go, Stop};
use crate::base::{PgError, SqlState, limits};
use crate::plan::sharded::copy_options::{self, CopyFormat, CopyKind};
use crate::plan::sharded::{self, Finish};
use crate::sql::ast;
use crate::wire::frame::{HEADER, back};
use crate::wire::message;

impl Coordinator {
    /// Each shard's COPY in turn.
    pub(super) async fn copy_out(
        &mut self,
        prepared: &Prepared,
        plan: &sharded::Plan,
        copy: &ast::Copy,
        shards: &[usize],
    ) -> Go {
        let scatter = super::decide::scatter_of(plan).map_err(super::decide::refusal_error)?;
        let plain = matches!(
            &scatter.finish,
            Finish::Stream { order, hidden: 0, limit: None, offset: None, .. } if order.is_empty()
        );
        let format = self.copy_format(prepared, copy).await?;
        let sound = plain && scatter.once.is_empty() && scatter.inputs.len() == 1;
        let Some(format) = format.filter(|_| sound) else {
            return Err(PgError::error(
                SqlState::FEATURE_NOT_SUPPORTED,
                "this COPY over several shards isn't supported yet",
            )
            .hint(
                "COPY a table or a query without ORDER BY, LIMIT and aggregates in text or CSV format, or use SELECT.",
            )
            .into());
        };
        let mut rows = 0u64;
        for (turn, &shard) in shards.iter().enumerate() {
            let mut link = self.engage(shard).await?;
            link.query(&prepared.sql, true);
            let mut skip = format.header && turn > 0;
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
        message::put(&mut self.output, back::COPY_DONE, |_| {});
        message::command_complete(&mut self.output, &format!("COPY {rows}"));
        Ok(())
    }

    /// How rows are written. `None`: in binary, or its options aren't understood.
    async fn copy_format(&mut self, prepared: &Prepared, copy: &ast::Copy) -> Go<Option<CopyFormat>> {
        let version = self.view().await?.schema.version;
        let format = copy_options::read(copy, &prepared.sql, self.standard_strings(), version, None);
        Ok(format.ok().filter(|format| format.kind != CopyKind::Binary))
    }
}
