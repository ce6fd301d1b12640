//! `pgbraid.unique_id()`: numbers of 64 bits, unique over all shards and in the order of time, which each shard gives by itself.
//!
//! Milliseconds since 2025 (41 bits, until 2094), the shard's number (8 bits), a sequence of its own (14 bits). A number comes
//! twice only if a shard gives more than 16,384 within a millisecond, which no sequence of PostgreSQL's does, or if a
//! server's clock is put back to the millisecond at which the sequence stood where it stands now.

use super::Trouble;
use super::keeper::Session;
use super::stored::{LOCK, literal};

/// As many shards as have a number.
const NUMBERS: u32 = 256;

/// Whether the function is there.
const PRESENT: &str = "SELECT (pg_catalog.to_regprocedure('pgbraid.unique_id()') IS NOT NULL)::text";

/// The shards' numbers, on the home shard. A number isn't given again.
const CREATE_NUMBERS: &str =
    "CREATE TABLE IF NOT EXISTS pgbraid.numbers (shard text PRIMARY KEY, number int NOT NULL UNIQUE)";

impl Session<'_> {
    /// Makes the function where it lacks. Where it can't be made (the service user may not own the schema) all else works.
    pub(super) async fn make_unique_ids(&mut self) -> Result<(), Trouble> {
        for at in 0..self.shards_count() {
            if self.says(at, PRESENT).await? == "true" {
                continue;
            }
            match self.make_unique_id(at).await {
                Ok(()) => {}
                Err(Trouble::Refuse(error)) => {
                    self.ask(at, "ROLLBACK").await?;
                    self.warn(&format!("pgbraid.unique_id() can't be made: {error}"));
                }
                Err(wait) => return Err(wait),
            }
        }
        Ok(())
    }

    async fn make_unique_id(&mut self, at: usize) -> Result<(), Trouble> {
        let number = self.number(at).await?;
        let Some(number) = number.parse::<u32>().ok().filter(|number| *number < NUMBERS) else {
            self.warn(&format!("pgbraid.unique_id() is made on {NUMBERS} shards at most"));
            return Ok(());
        };
        self.ask(at, &format!("BEGIN READ WRITE; {LOCK}; {}; COMMIT", create(number))).await?;
        Ok(())
    }

    /// The shard's number, given to it now if it has none.
    async fn number(&mut self, at: usize) -> Result<String, Trouble> {
        let home = self.home();
        let name = literal(&self.shard_name(at));
        self.ask(home, &format!("BEGIN READ WRITE; {LOCK}; {CREATE_NUMBERS}")).await?;
        let give = format!(
            "INSERT INTO pgbraid.numbers SELECT {name}, coalesce(max(number) + 1, 0) FROM pgbraid.numbers \
             ON CONFLICT (shard) DO NOTHING"
        );
        self.ask(home, &give).await?;
        let number = self.says(home, &format!("SELECT number::text FROM pgbraid.numbers WHERE shard = {name}")).await?;
        self.ask(home, "COMMIT").await?;
        Ok(number)
    }
}

/// Its body is bound when it is made, so no search path gives its operators another meaning.
fn create(number: u32) -> String {
    format!(
        "CREATE SEQUENCE IF NOT EXISTS pgbraid.unique_ids MINVALUE 0 START 0; \
         CREATE FUNCTION pgbraid.unique_id() RETURNS bigint LANGUAGE sql VOLATILE RETURN \
         (((pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000)::bigint - 1735689600000) << 22) \
         | ({number}::bigint << 14) | (pg_catalog.nextval('pgbraid.unique_ids'::pg_catalog.regclass) & 16383); \
         GRANT USAGE ON SEQUENCE pgbraid.unique_ids TO PUBLIC; GRANT USAGE ON SCHEMA pgbraid TO PUBLIC"
    )
}
