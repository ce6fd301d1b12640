//! Keys of COPY's rows that a server must read: dates in other styles, numbers to be rounded, what is refused.

use super::copy_deal::{Intake, Place, no_value};
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
