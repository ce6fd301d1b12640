//! The end of a transaction on its shards: plainly where one was written, else in two phases.
//!
//! All that were written but one prepare; that one, the anchor, commits together with a row that says so; then the others
//! commit what they prepared. What is left when anybody dies in between is the recoverer's (`backend::recovery`).

use std::future::poll_fn;
use std::task::Poll;

use super::block::{Block, word};
use super::collect::Answer;
use super::{Coordinator, Go, Stop};
use crate::backend::commits::{Living, Verdict, label};
use crate::backend::gates::{ENTER, in_order};
use crate::base::{PgError, SqlState, limits};
use crate::config::model::CrossShardCommit;

/// What the shards said, in the order in which they were asked. An error of ours: the link was lost.
type Answers = Vec<(usize, Result<Answer, PgError>)>;

/// Whose failure to commit counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// Everybody's: it isn't known who wrote.
    All,
    /// Only this shard's, which is asked first.
    One(usize),
    /// Nobody's: what was written has been committed.
    None,
}

impl Coordinator {
    /// Ends the transaction on all shards that joined it. Whether it was committed.
    pub(super) async fn end_shards(&mut self, block: &Block, commit: bool) -> Go<bool> {
        let result = self.end_written(block, commit).await;
        if block.own.defined {
            // Definitions that it changed are seen from the acknowledgement on.
            self.database.shared.distrust();
        }
        result
    }

    /// Ends, on all shards at once, a transaction for one statement that only read.
    pub(super) async fn end_reading(&mut self, block: Block, commit: bool) -> Go {
        let work = block.members.into_iter().map(|shard| (shard, word(commit).to_owned())).collect();
        self.on_each(work, "read").await.map(|_| ())
    }

    /// Ends a transaction that the client didn't begin: it has no COMMIT whose tag would tell that all was rolled back.
    ///
    /// # Errors
    /// 25P02 where it should have been committed and wasn't, and nobody has been told why.
    pub(super) async fn end_own(&mut self, block: &Block, commit: bool) -> Go {
        let committed = self.end_shards(block, commit).await?;
        if commit && !committed {
            let text = "the transaction was rolled back on all shards";
            return Err(PgError::error(SqlState::IN_FAILED_SQL_TRANSACTION, text).hint("Run it again.").into());
        }
        Ok(())
    }

    /// Commits on the home shard what was only drawn there: a sequence's progress, which a crash would undo. False: it
    /// couldn't, and so nothing is to be committed.
    async fn keep_drawn(&mut self, block: &Block) -> Go<bool> {
        let home = self.home();
        if !block.drew || block.wrote.contains(&home) || block.wrote.is_empty() {
            return Ok(true);
        }
        let Some((_, answer)) = self.on_each(vec![(home, "COMMIT".to_owned())], "keeping").await?.pop() else {
            return Ok(false);
        };
        Ok(matches!(answer, Ok(Answer { error: None, tag, .. }) if tag == b"COMMIT"))
    }

    async fn end_written(&mut self, block: &Block, commit: bool) -> Go<bool> {
        let commit = commit && !block.failed && self.whole(block) && self.keep_drawn(block).await?;
        match block.wrote.as_slice() {
            [] => self.end_joined(Counts::All, commit).await,
            [one] => self.end_joined(Counts::One(*one), commit).await,
            _ if !commit => self.end_joined(Counts::None, false).await,
            several => {
                // From here on it goes to its end, whether the client waits for it or not.
                self.committing = true;
                let result = match self.database.shared.config.cross_shard_commit {
                    CrossShardCommit::TwoPhase => self.commit_in_two_phases(several).await,
                    CrossShardCommit::BestEffort => self.commit_in_turn(several).await,
                };
                let rest = self.end_joined(Counts::None, result.is_ok()).await;
                self.committing = false;
                if matches!(rest, Err(Stop::Over)) {
                    return rest;
                }
                result.map(|()| true)
            }
        }
    }

    /// COMMIT or ROLLBACK on all shards that are still in the transaction.
    async fn end_joined(&mut self, counts: Counts, commit: bool) -> Go<bool> {
        let mut order: Vec<usize> = (0..self.links.len()).collect();
        order.sort_by_key(|&shard| Counts::One(shard) != counts);
        let mut commit = commit;
        let mut failure = None;
        for shard in order {
            let Some(mut link) = self.links.get_mut(shard).and_then(Option::take) else { continue };
            if !link.joined {
                self.put_link(shard, link);
                continue;
            }
            link.joined = false;
            match self.run_on(&mut link, word(commit)).await {
                Ok(answer) => {
                    let tag = answer.tag == word(commit).as_bytes();
                    match answer.error {
                        Some(error) if (counts == Counts::All || counts == Counts::One(shard)) && failure.is_none() => {
                            failure = Some(error)
                        }
                        _ => {}
                    }
                    if commit && counts != Counts::None && (!tag || failure.is_some()) {
                        commit = false;
                    }
                    self.put_link(shard, link);
                }
                Err(Stop::Over) => return Err(Stop::Over),
                // What wasn't committed is rolled back by the loss; what only read doesn't matter.
                Err(Stop::Error(error)) if commit && counts == Counts::One(shard) => {
                    commit = false;
                    failure = Some(
                        error.detail("It isn't known whether the transaction was committed: the answer didn't come."),
                    );
                }
                Err(_) => {}
            }
        }
        match failure {
            Some(error) => Err(error.into()),
            None => Ok(commit),
        }
    }

    /// # Errors
    /// What had it aborted everywhere; or that it isn't known, or can't be seen everywhere yet.
    async fn commit_in_two_phases(&mut self, written: &[usize]) -> Go {
        let shared = self.database.shared.clone();
        let commits = shared.commits.clone();
        let home = self.home();
        // What can't be prepared (temporary tables, NOTIFY) is the home shard's.
        let anchor = if written.contains(&home) { home } else { written.first().copied().unwrap_or(home) };
        let shard_name = |shard: usize| shared.config.shards.get(shard).map_or("", |shard| shard.name.as_str());
        let Some(living) = commits.begin(shard_name(anchor)) else {
            let text = "the transaction can't be committed on several shards: the stored map isn't known";
            return Err(PgError::error(SqlState::CANNOT_CONNECT_NOW, text).hint("Try again in a moment.").into());
        };
        let parts: Vec<usize> = written.iter().copied().filter(|&shard| shard != anchor).collect();
        let all = |words: &str, shards: &[usize]| -> Vec<(usize, String)> {
            shards.iter().map(|&shard| (shard, format!("{words} '{}'", living.name.part(shard_name(shard))))).collect()
        };
        commits.fault.reach("begin");
        let mut prepare = all("PREPARE TRANSACTION", &parts);
        let gated = shared.gates.are_kept();
        if gated {
            self.enter_gates(written, &mut prepare).await?;
        }
        let answers = self.on_each(prepare, "preparing").await?;
        let (prepared, failure) = judge_prepared(answers);
        commits.fault.reach("prepared");
        if let Some((shard, error)) = failure {
            let mut undo = all("ROLLBACK PREPARED", &prepared);
            undo.push((anchor, "ROLLBACK".to_owned()));
            let _ = self.on_each(undo, "undoing").await?;
            drop(living);
            // A part whose answer was lost may be prepared.
            commits.look();
            return Err(why_not_prepared(error, shard_name(shard)).into());
        }
        let labels: Vec<String> = parts.iter().map(|&shard| label(shard_name(shard))).collect();
        let (column, value) = if gated { (", gated", ", true") } else { ("", "") };
        let decision = format!(
            "INSERT INTO pgbraid.commits (gid, participants{column}) VALUES ('{}', '{{{}}}'{value}); COMMIT",
            living.name,
            labels.join(",")
        );
        let answer = self.on_each(vec![(anchor, decision)], "deciding").await?.pop().map(|(_, answer)| answer);
        commits.fault.reach("decided");
        match self.verdict(answer, anchor, &living, &parts).await? {
            (Verdict::Committed, _) => {}
            (Verdict::Aborted, error) => {
                let _ = self.on_each(all("ROLLBACK PREPARED", &prepared), "undoing").await?;
                drop(living);
                commits.look();
                if error.message().contains("pgbraid_gated") {
                    shared.gates.keep();
                    return Err(first_gated().into());
                }
                return Err(error.into());
            }
        }
        commits.figures.committed.inc();
        let answers = self.on_each(all("COMMIT PREPARED", &parts), "finishing").await?;
        let late: Vec<usize> =
            answers.into_iter().filter(|(_, answer)| !is_finished(answer)).map(|(shard, _)| shard).collect();
        if !late.is_empty() {
            let told = commits.resolve(living.name.clone(), late.clone());
            if !matches!(tokio::time::timeout(limits::RESOLUTION, told).await, Ok(Ok(Verdict::Committed))) {
                let names: Vec<&str> = late.iter().map(|&shard| shard_name(shard)).collect();
                return Err(not_seen_yet(&names.join(", ")).into());
            }
        }
        commits.finished(anchor, &living.name);
        commits.fault.reach("finished");
        Ok(())
    }

    /// The gates of the shards that prepare are taken, in order; the last with its PREPARE.
    async fn enter_gates(&mut self, written: &[usize], prepare: &mut [(usize, String)]) -> Go {
        // Who holds a gate waits for no row: what deferred constraints wait for is waited for before.
        let check = written.iter().map(|&shard| (shard, "SET CONSTRAINTS ALL IMMEDIATE".to_owned())).collect();
        let mut answers = self.on_each(check, "checking").await?;
        let parts: Vec<usize> = prepare.iter().map(|(shard, _)| *shard).collect();
        let order = in_order(&self.database.shared, &parts);
        for (turn, &shard) in order.iter().enumerate() {
            for (_, answer) in answers {
                answer.and_then(Answer::good)?;
            }
            if turn + 1 == order.len() {
                if let Some((_, sql)) = prepare.iter_mut().find(|(other, _)| *other == shard) {
                    *sql = format!("{ENTER}; {sql}");
                }
                return Ok(());
            }
            answers = self.on_each(vec![(shard, ENTER.to_owned())], "entering").await?;
        }
        Ok(())
    }

    /// How the anchor decided, and why not to commit if so.
    async fn verdict(
        &mut self,
        answer: Option<Result<Answer, PgError>>,
        anchor: usize,
        living: &Living,
        parts: &[usize],
    ) -> Go<(Verdict, PgError)> {
        let lost = || PgError::error(SqlState::CONNECTION_FAILURE, "the connection to a shard was lost");
        let error = match answer {
            Some(Ok(Answer { error: None, tag, .. })) if tag == b"COMMIT" => return Ok((Verdict::Committed, lost())),
            Some(Ok(answer)) => answer.error.unwrap_or_else(lost),
            Some(Err(error)) => error,
            None => lost(),
        };
        // It lets go of the decision row, if it still has it.
        if self.links.get(anchor).and_then(Option::as_ref).is_some_and(|link| link.joined) {
            let _ = self.on_each(vec![(anchor, "ROLLBACK".to_owned())], "undoing").await?;
        }
        if is_surely_aborted(&error) {
            return Ok((Verdict::Aborted, error_of_decision(error)));
        }
        // The answer was lost: somebody must ask how it ended.
        let told = self.database.shared.commits.resolve(living.name.clone(), parts.to_vec());
        match tokio::time::timeout(limits::RESOLUTION, told).await {
            Ok(Ok(Verdict::Committed)) => Ok((Verdict::Committed, error)),
            Ok(Ok(Verdict::Aborted)) => {
                let error = error.detail("The transaction was rolled back on all shards.");
                Ok((Verdict::Aborted, error))
            }
            _ => Err(PgError::error(
                SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
                "it isn't known whether the transaction was committed",
            )
            .detail("The shard that decides doesn't answer. Every shard will come to the same end when it does.")
            .hint("Ask for what it wrote before it is run again.")
            .into()),
        }
    }

    /// On one shard after the other, as the configuration allows.
    async fn commit_in_turn(&mut self, written: &[usize]) -> Go {
        let shared = self.database.shared.clone();
        let mut done: Vec<&str> = Vec::new();
        for &shard in written {
            let answer = self.on_each(vec![(shard, "COMMIT".to_owned())], "committing").await?.pop();
            let error = match answer.map(|(_, answer)| answer) {
                Some(Ok(Answer { error: None, tag, .. })) if tag == b"COMMIT" => {
                    done.extend(shared.config.shards.get(shard).map(|shard| shard.name.as_str()));
                    continue;
                }
                Some(Ok(answer)) => answer.error,
                Some(Err(error)) => Some(error),
                None => None,
            };
            let error = error.unwrap_or_else(|| PgError::error(SqlState::SERIALIZATION_FAILURE, "it was rolled back"));
            return Err(match done.is_empty() {
                true => error.into(),
                false => error.detail(format!("The transaction was committed on {} only.", done.join(", "))).into(),
            });
        }
        Ok(())
    }

    /// Sends a statement of our own to each of these shards, all at once, and takes their answers.
    async fn on_each(&mut self, work: Vec<(usize, String)>, point: &str) -> Go<Answers> {
        let mut answers = Answers::new();
        let mut asked = Vec::new();
        for (shard, sql) in work {
            let Some(mut link) = self.links.get_mut(shard).and_then(Option::take) else {
                let text = "the connection to a shard was lost";
                answers.push((shard, Err(PgError::error(SqlState::CONNECTION_FAILURE, text))));
                continue;
            };
            link.query(&sql, true);
            // All of them work meanwhile. What can't be sent yet goes when its answer is waited for.
            let _ = poll_fn(|cx| Poll::Ready(link.poll_send(cx))).await;
            asked.push((shard, link));
        }
        self.database.shared.commits.fault.reach(point);
        for (shard, mut link) in asked {
            match self.ask(&mut link).await {
                Ok(answer) => {
                    link.joined &= link.status != b'I';
                    self.put_link(shard, link);
                    answers.push((shard, Ok(answer)));
                }
                Err(Stop::Error(error)) => answers.push((shard, Err(*error))),
                Err(stop) => return Err(stop),
            }
        }
        Ok(answers)
    }
}

/// Who has prepared, and the first who hasn't, with the reason.
fn judge_prepared(answers: Answers) -> (Vec<usize>, Option<(usize, PgError)>) {
    let mut prepared = Vec::new();
    let mut failure = None;
    for (shard, answer) in answers {
        let error = match answer {
            Ok(Answer { error: None, tag, .. }) if tag == b"PREPARE TRANSACTION" => {
                prepared.push(shard);
                continue;
            }
            // A failed transaction says ROLLBACK, and no error.
            Ok(answer) => answer.error.unwrap_or_else(|| {
                PgError::error(SqlState::IN_FAILED_SQL_TRANSACTION, "the transaction had failed on a shard")
            }),
            Err(error) => error,
        };
        failure.get_or_insert((shard, error));
    }
    (prepared, failure)
}

/// What the client is told of a part that couldn't be prepared.
fn why_not_prepared(error: PgError, shard: &str) -> PgError {
    match error.code().as_str() {
        "55000" => PgError::error(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("the transaction changed rows on several shards, and the shard {shard} has no prepared transactions"),
        )
        .detail("It was rolled back on all of them.")
        .hint(
            "Set max_prepared_transactions of its servers to at least their max_connections (it takes a restart), or write \
             cross_shard_commit = \"best-effort\" in the configuration.",
        ),
        "0A000" => error.hint(
            "It changed rows on several shards: keep temporary tables, NOTIFY, exported snapshots and cursors WITH HOLD out \
             of such transactions.",
        ),
        _ => error,
    }
}

/// A part is committed: by us, or by a recoverer before.
fn is_finished(answer: &Result<Answer, PgError>) -> bool {
    match answer {
        Ok(Answer { error: None, tag, .. }) => tag == b"COMMIT PREPARED",
        Ok(Answer { error: Some(error), .. }) => error.code() == SqlState::UNDEFINED_OBJECT,
        Err(_) => false,
    }
}

/// An error that the anchor's server raised before its commit: of data, constraints, privileges. Others may be of a
/// connection that broke, or of a server that ended, after it.
fn is_surely_aborted(error: &PgError) -> bool {
    let code = error.code();
    let class = code.as_str().get(..2).unwrap_or_default();
    matches!(class, "0A" | "22" | "23" | "40" | "42" | "44" | "55" | "P0")
}

fn error_of_decision(error: PgError) -> PgError {
    // The key of our own decision row: a recoverer was quicker.
    if error.code().as_str() == "23505" && error.message().contains("pgbraid_commits_gid") {
        let text = "the transaction took too long to commit on several shards, and was rolled back";
        return PgError::error(SqlState::SERIALIZATION_FAILURE, text).hint("Run it again.");
    }
    if error.code().as_str() == "42501" || error.code().as_str() == "42P01" {
        return error.detail("The transaction changed rows on several shards, and its decision couldn't be stored.");
    }
    error
}

/// Another proxy has begun to read atomically.
fn first_gated() -> PgError {
    let text = "other proxies read over shards atomically by now, and the transaction was rolled back";
    PgError::error(SqlState::SERIALIZATION_FAILURE, text).hint("Run it again: from now on it takes part.")
}

fn not_seen_yet(shards: &str) -> PgError {
    let text = format!("the transaction is committed, but its changes on {shards} can't be seen yet");
    PgError::error(SqlState::TRANSACTION_RESOLUTION_UNKNOWN, text)
        .detail("The shard doesn't answer. It will have them as soon as it does.")
        .hint("Don't run it again.")
}
