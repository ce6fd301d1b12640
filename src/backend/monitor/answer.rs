//! The question that every server is asked again and again, and its answer.

use std::time::Duration;

use super::roles::Identity;
use crate::backend::exchange::TextRows;
use crate::base::Lsn;

/// Role and positions; asked up to a hundred times a second. Each row of settings of roles and databases that may
/// switch `synchronous_commit` off counts, and every one of ours, for it hides the server's default from us.
macro_rules! positions {
    () => {
        "SELECT r, \
         CASE WHEN NOT r THEN pg_catalog.pg_current_wal_flush_lsn() END, \
         CASE WHEN NOT r THEN pg_catalog.pg_current_wal_insert_lsn() END, \
         CASE WHEN NOT r THEN pg_catalog.current_setting('synchronous_commit') NOT IN \
          ('on', 'local', 'remote_write', 'remote_apply') OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s, \
          pg_catalog.unnest(s.setconfig) c(one) WHERE one LIKE 'synchronous_commit=%' AND s.setdatabase IN (0, \
          (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())) AND (s.setrole IN \
          (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user)) OR pg_catalog.lower(one) NOT IN \
          ('synchronous_commit=on', 'synchronous_commit=local', 'synchronous_commit=remote_write', \
          'synchronous_commit=remote_apply'))) END, \
         pg_catalog.current_setting('wal_block_size'), \
         pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')), \
         CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn() END, \
         CASE WHEN r THEN (extract(epoch FROM pg_catalog.clock_timestamp() \
          - pg_catalog.pg_last_xact_replay_timestamp()) * 1000000)::bigint END"
    };
}

macro_rules! source {
    () => {
        " FROM (SELECT pg_catalog.pg_is_in_recovery() AS r OFFSET 0) s"
    };
}

/// The cheap question.
pub const POSITIONS: &str = concat!(positions!(), source!());

/// The same, and which history the server is part of. A replica's timeline is that of what it receives (shown to members
/// of pg_read_all_stats), or an older one that its control file names.
pub const WHOLE: &str = concat!(
    positions!(),
    ", (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
     CASE WHEN r THEN greatest((SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver), \
      (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()), \
      (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery())) \
     ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8)) \
      ::bit(32)::integer END",
    source!()
);

/// What a server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub standing: Standing,
    /// Only of [`WHOLE`].
    pub identity: Option<Identity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Primary {
        flushed: Lsn,
        /// Where the last record ends that was inserted.
        inserted: Lsn,
        /// Some role's or the server's default is `synchronous_commit = off`.
        asynchronous: bool,
    },
    Replica {
        replayed: Lsn,
        /// Age of the last transaction that it replayed, by the servers' clocks.
        by_commit: Option<Duration>,
    },
}

impl Answer {
    /// Reads the row; `None` if it isn't one.
    pub fn read(rows: &TextRows) -> Option<Self> {
        let [row] = rows.as_slice() else { return None };
        let column = |at: usize| row.get(at).and_then(Option::as_deref);
        let lsn = |at: usize| column(at).and_then(|text| text.parse::<Lsn>().ok());
        let standing = match column(0)? {
            "f" => Standing::Primary {
                flushed: lsn(1)?,
                inserted: end_of_record(lsn(2)?, column(4)?, column(5)?.parse().ok()?),
                asynchronous: column(3) != Some("f"),
            },
            "t" => Standing::Replica {
                // NULL before the first record.
                replayed: lsn(6).unwrap_or_default(),
                by_commit: column(7)
                    .and_then(|text| text.parse::<i64>().ok())
                    .map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
            },
            _ => return None,
        };
        let identity = match (column(8), column(9)) {
            (Some(system), Some(timeline)) => {
                Some(Identity { system: system.parse().ok()?, timeline: timeline.parse().ok()? })
            }
            _ => None,
        };
        Some(Self { standing, identity })
    }

    pub fn is_primary(&self) -> bool {
        matches!(self.standing, Standing::Primary { .. })
    }
}

/// The insert position is where the next record will begin. Right behind a page's header (24 bytes, 40 on a segment's
/// first page, `xlog_internal.h`) nothing was inserted yet, and a replica that has replayed everything stands before it.
fn end_of_record(inserted: Lsn, block_size: &str, segment: u64) -> Lsn {
    if block_size != "8192" || segment == 0 {
        return inserted;
    }
    let header = if inserted.0 % segment == 40 {
        40
    } else if inserted.0 % 8192 == 24 {
        24
    } else {
        0
    };
    Lsn(inserted.0 - header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: &[&str]) -> TextRows {
        vec![columns.iter().map(|text| (*text != "-").then(|| (*text).to_owned())).collect()]
    }

    #[test]
    fn a_primary_and_a_replica() {
        let answer = Answer::read(&rows(&["f", "0/20", "0/4018", "f", "8192", "16777216", "-", "-", "77", "3"]));
        let standing = Standing::Primary { flushed: Lsn(0x20), inserted: Lsn(0x4000), asynchronous: false };
        let identity = Some(Identity { system: 77, timeline: 3 });
        assert_eq!(answer, Some(Answer { standing, identity }));
        let answer = Answer::read(&rows(&["t", "-", "-", "-", "8192", "16777216", "1/0", "1500000"]));
        let by_commit = Some(Duration::from_millis(1500));
        let standing = Standing::Replica { replayed: Lsn(1 << 32), by_commit };
        assert_eq!(answer, Some(Answer { standing, identity: None }));
        assert_eq!(Answer::read(&rows(&["f", "-"])), None);
        assert_eq!(Answer::read(&Vec::new()), None);
    }

    #[test]
    fn an_insert_position_behind_a_header_is_the_page_before() {
        assert_eq!(end_of_record(Lsn(0x100_0028), "8192", 0x100_0000), Lsn(0x100_0000));
        assert_eq!(end_of_record(Lsn(0x100_2018), "8192", 0x100_0000), Lsn(0x100_2000));
        assert_eq!(end_of_record(Lsn(0x100_2028), "8192", 0x100_0000), Lsn(0x100_2028));
        assert_eq!(end_of_record(Lsn(0x100_2018), "16384", 0x100_0000), Lsn(0x100_2018));
    }
}
