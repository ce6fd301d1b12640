//! Keys of COPY's rows that a server must read: dates in other styles, numbers to be rounded, what is refused.

use super::copy_deal::{Dealing, Intake, Place, no_value};
use super::multi::{Bind, Extra, Question, put_question};
use super::shard::ShardLink;
use super::{Coordinator, Go};
use crate::backend::settings::{same, script};
use crate::base::{PgError, SqlState};
use crate::plan::sharded::{CopyKey, key_place};
use crate::topology::placement::{KeyPlace, TablePlace};
use crate::value::key::{Format, KeyHash};
use crate::value::oid;
use crate::wire::message;

impl Coordinator {
    /// Where the row in line `line` goes whose key has this value.
    pub(super) async fn ask_key(&mut self, intake: &mut Intake<'_>, value: Vec<u8>, line: u64) -> Go<Place> {
        let Some((key, format)) = intake.key() else { return Ok(Place::Anywhere { surely: true }) };
        let column = format!("SELECT $1::{} AS k", key.type_name);
        let sql = match &key.condition.place {
            TablePlace::Hash { key_type, .. } => format!("SELECT {} FROM ({column}) key", key_type.sql_hash("k")),
            _ => format!("SELECT k::pg_catalog.text FROM ({column}) key"),
        };
        let bytes = match self.ask_beside(intake, sql, &value, format).await? {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(no_value(key, line, "can't be read here").into()),
            // The value may be good, and only its hash not: infinite dates.
            Err(_) => match self.ask_beside(intake, column, &value, format).await? {
                Ok(_) => return Err(no_value(key, line, "has no place on any shard").into()),
                Err(_) => return Ok(Place::Anywhere { surely: true }),
            },
        };
        match found(key, &bytes, &intake.view.placement) {
            KeyPlace::Shard(shard) => Ok(Place::Shard(shard)),
            _ => Err(no_value(key, line, "has no place on any shard").into()),
        }
    }

    /// One value from the home shard's server, in a session beside that which the rows go through. The inner error is the
    /// server's about the value.
    async fn ask_beside(
        &mut self,
        intake: &mut Intake<'_>,
        sql: String,
        value: &[u8],
        format: Format,
    ) -> Go<Result<Option<Vec<u8>>, PgError>> {
        let mut link = match intake.side.take() {
            Some(link) => link,
            None => self.link_beside().await?,
        };
        let question = Question { sql, types: Vec::new(), results: vec![1], named: None };
        let bind = Bind {
            formats: vec![i16::from(format == Format::Binary)],
            values: vec![Some(value.to_vec())],
            results: Vec::new(),
        };
        put_question(&mut link, &question, &bind, &Extra::default(), false, true);
        link.sync();
        let answer = self.ask(&mut link).await?;
        intake.side = Some(link);
        if let Some(error) = answer.error {
            let code = error.code();
            let about = matches!(code.as_str().get(..2), Some("22" | "23" | "42" | "0A"))
                || code == SqlState::PROTOCOL_VIOLATION;
            return if about { Ok(Err(error)) } else { Err(error.into()) };
        }
        let row = answer.rows.first().and_then(|row| message::read_data_row(row));
        Ok(Ok(row.and_then(|row| row.first().copied().flatten().map(<[u8]>::to_vec))))
    }

    /// The clocks that stand for columns which the client leaves out: its transaction's.
    pub(super) async fn read_clocks(&mut self, intake: &mut Intake<'_>) -> Go {
        let fills = &intake.copied.fills;
        if fills.iter().any(|fill| !fill.clock) && self.block.as_ref().is_some_and(|block| block.own.defined) {
            let text = "COPY can't draw from a sequence in a transaction that has changed definitions";
            return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                .hint("COMMIT before it, or COPY all columns.")
                .into());
        }
        let clocks: Vec<&str> = fills.iter().filter(|fill| fill.clock).map(|fill| fill.default.as_str()).collect();
        if clocks.is_empty() {
            return Ok(());
        }
        let home = self.home();
        let mut link = self.engage(home).await?;
        let question =
            Question { sql: format!("SELECT {}", clocks.join(", ")), types: Vec::new(), results: vec![0], named: None };
        put_question(&mut link, &question, &Bind::default(), &Extra::default(), false, false);
        link.sync();
        let answer = self.ask(&mut link).await?;
        self.put_link(home, link);
        let answer = answer.good()?;
        let row = answer.rows.first().and_then(|row| message::read_data_row(row)).unwrap_or_default();
        intake.clocks = row.into_iter().map(|value| value.map(<[u8]>::to_vec)).collect();
        Ok(())
    }

    /// Values for the columns that the client leaves out, for so many rows. They are drawn in a session beside the rows'
    /// own, whose server is busy with the COPY.
    pub(super) async fn draw_fills(&mut self, intake: &mut Intake<'_>, count: usize) -> Go {
        let fills = &intake.copied.fills;
        let drawn: Vec<&str> = fills.iter().filter(|fill| !fill.clock).map(|fill| fill.default.as_str()).collect();
        let mut rows = Vec::new();
        if !drawn.is_empty() {
            let mut link = match intake.side.take() {
                Some(link) => link,
                None => self.link_beside().await?,
            };
            let sql = format!("SELECT {} FROM pg_catalog.generate_series(1, $1::pg_catalog.int4)", drawn.join(", "));
            let question = Question { sql, types: Vec::new(), results: vec![0], named: None };
            let bind = Bind { values: vec![Some(count.to_string().into_bytes())], ..Bind::default() };
            put_question(&mut link, &question, &bind, &Extra::default(), false, true);
            link.sync();
            let answer = self.ask(&mut link).await?;
            intake.side = Some(link);
            rows = answer.good()?.rows;
            if rows.len() != count {
                return Err(super::change::uneven().into());
            }
        }
        for at in 0..count {
            let values = rows.get(at).and_then(|row| message::read_data_row(row)).unwrap_or_default();
            let mut drawn = values.into_iter().map(|value| value.map(<[u8]>::to_vec));
            let mut clocks = intake.clocks.iter().cloned();
            let row = fills.iter().map(|fill| if fill.clock { clocks.next() } else { drawn.next() }.flatten());
            let row = row.collect();
            if let Dealing::ByKey(by) = &mut intake.deal {
                by.drawn.push_back(row);
            }
        }
        Ok(())
    }

    /// Another session on the home shard that reads values as the client's does.
    async fn link_beside(&mut self) -> Go<Box<ShardLink>> {
        let mut link = self.new_link(self.home())?;
        self.ask(&mut link).await?.good()?;
        let have = link.mirror.settings.borrow().clone();
        let want = self.settings();
        if !same(&have, &want)
            && let Some(script) = script(&have, &want)
        {
            self.run_on(&mut link, &script.sql).await?.good()?;
        }
        Ok(link)
    }
}

fn found(key: &CopyKey, bytes: &[u8], placement: &crate::topology::placement::Placement) -> KeyPlace {
    match &key.condition.place {
        TablePlace::Hash { .. } => match bytes.try_into() {
            Ok(hash) => placement.place(KeyHash::Hash(u64::from_be_bytes(hash))),
            Err(_) => KeyPlace::Unknown,
        },
        _ => key_place(&key.condition, oid::TEXT, Format::Text, Some(bytes), placement),
    }
}
