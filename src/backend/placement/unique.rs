//! `pgbraid.unique_id()`: numbers of 64 bits, unique over all shards and in the order of time, which each shard gives by itself.
//!
//! Milliseconds since 2025 (41 bits, until 2094), the shard's number (8 bits), a sequence of its own (14 bits). A number comes
//! twice only if a shard gives more than 16,384 within a millisecond, which no sequence of PostgreSQL's does, or if a
//! server's clock is put back to the millisecond at which the sequence stood where it stands now.

use super::Trouble;
use super::keeper::Session;
use super::stored::{LOCK, literal};
use crate::base::{PgError, SqlState};

/// As many shards as have a number.
const NUMBERS: u32 = 256;

/// The number that the function gives, as it stands in its body. A shard that was made from another's dump has that one's.
const GIVEN: &str = "SELECT pg_catalog.substring(pg_catalog.pg_get_functiondef(pg_catalog.to_regprocedure('pgbraid.unique_id()')), \
            '([0-9]+)[)'']*::bigint << 14')";

/// Whether shards have numbers yet.
const NUMBERED: &str = "SELECT (pg_catalog.to_regclass('pgbraid.numbers') IS NOT NULL)::text";

/// The shards' numbers, on the home shard. A number isn't given again.
const CREATE_NUMBERS: &str =
    "CREATE TABLE IF NOT EXISTS pgbraid.numbers (shard text PRIMARY KEY, number int NOT NULL UNIQUE)";

impl Session<'_> {
    /// Makes the function where it lacks. Where it can't be made (the service user may not own the schema) all else works.
    ///
    /// # Errors
    /// Servers that don't answer; a function that gives another shard's numbers and can't be replaced.
    pub(super) async fn make_unique_ids(&mut self) -> Result<(), Trouble> {
        for at in 0..self.shards_count() {
            let mut given = String::new();
            let error = match self.make_unique_id(at, &mut given).await {
                Ok(()) => continue,
                Err(Trouble::Refuse(error)) => error,
                Err(wait) => return Err(wait),
            };
            // Either of the two may have refused: neither is left in a failed transaction.
            for shard in [at, self.home()] {
                self.ask(shard, "ROLLBACK").await?;
            }
            if !given.is_empty() {
                return Err(Trouble::Refuse(self.another(at, &given, &error)));
            }
            self.warn(&format!("pgbraid.unique_id() can't be made: {error}"));
        }
        Ok(())
    }

    /// `given`: the number that the function there gives, if it isn't the shard's.
    async fn make_unique_id(&mut self, at: usize, given: &mut String) -> Result<(), Trouble> {
        let number = self.number(at).await?;
        let Some(number) = number.parse::<u32>().ok().filter(|number| *number < NUMBERS) else {
            self.warn(&format!("pgbraid.unique_id() is made on {NUMBERS} shards at most"));
            return Ok(());
        };
        *given = self.says(at, GIVEN).await?;
        if *given != number.to_string() {
            self.ask(at, &format!("BEGIN READ WRITE; {LOCK}; {}; COMMIT", create(number))).await?;
        }
        Ok(())
    }

    fn another(&self, at: usize, given: &str, error: &PgError) -> PgError {
        let name = self.shard_name(at);
        let text =
            format!("pgbraid.unique_id() on the shard {name} gives another shard's numbers (those of number {given})");
        PgError::error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, text)
            .detail(format!("It can't be replaced: {}.", error.message()))
            .hint("Make the service user its owner, or drop it on that shard.")
    }

    /// The shard's number, given to it now if it has none.
    async fn number(&mut self, at: usize) -> Result<String, Trouble> {
        let home = self.home();
        let name = literal(&self.shard_name(at));
        let ask = format!("SELECT number::text FROM pgbraid.numbers WHERE shard = {name}");
        if self.says(home, NUMBERED).await? == "true" {
            let number = self.says(home, &ask).await?;
            if !number.is_empty() {
                return Ok(number);
            }
        }
        self.ask(home, &format!("BEGIN READ WRITE; {LOCK}; {CREATE_NUMBERS}")).await?;
        let give = format!(
            "INSERT INTO pgbraid.numbers SELECT {name}, coalesce(max(number) + 1, 0) FROM pgbraid.numbers \
             ON CONFLICT (shard) DO NOTHING"
        );
        self.ask(home, &give).await?;
        let number = self.says(home, &ask).await?;
        self.ask(home, "COMMIT").await?;
        Ok(number)
    }
}

/// Its body is bound when it is made, so no search path gives its operators another meaning.
fn create(number: u32) -> String {
    format!(
        "CREATE SEQUENCE IF NOT EXISTS pgbraid.unique_ids MINVALUE 0 START 0; \
         CREATE OR REPLACE FUNCTION pgbraid.unique_id() RETURNS bigint LANGUAGE sql VOLATILE RETURN \
         (((pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000)::bigint - 1735689600000) << 22) \
         | ({number}::bigint << 14) | (pg_catalog.nextval('pgbraid.unique_ids'::pg_catalog.regclass) & 16383); \
         GRANT USAGE ON SEQUENCE pgbraid.unique_ids TO PUBLIC; GRANT USAGE ON SCHEMA pgbraid TO PUBLIC"
    )
}
