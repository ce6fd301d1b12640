//! Runs cases on both systems and gives a verdict for each.

use std::time::Duration;

use super::answer::Answer;
use super::ask::{WAYS, Way, ask};
use super::compare::{Verdict, judge};
use super::corpus::{Case, Check, Step};
use super::system::System;
use crate::support::raw::{Frame, Raw, Target};

/// How long one statement may take; a test fails by it, none passes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A session with each system.
pub struct Runner {
    system: &'static System,
    plain: Raw,
    ours: Raw,
}

impl Runner {
    pub async fn new(system: &'static System) -> Self {
        Self { system, plain: session(&system.plain()).await, ours: session(&system.sharded()).await }
    }

    /// A case in all ways. The worst verdict counts.
    pub async fn case(&mut self, case: &Case) -> Verdict {
        let mut worst = Verdict::Equal;
        for way in WAYS {
            if way != Way::Simple && case.steps.iter().any(|step| step.simple) {
                continue;
            }
            match self.case_in(case, way).await {
                Verdict::Equal => {}
                Verdict::Refused(why) => worst = Verdict::Refused(why),
                Verdict::Slow => worst = Verdict::Slow,
                wrong @ Verdict::Wrong(_) => {
                    worst = wrong;
                    break;
                }
            }
        }
        worst
    }

    /// A case in one way.
    pub async fn case_in(&mut self, case: &Case, way: Way) -> Verdict {
        let mut worst = Verdict::Equal;
        for step in &case.steps {
            match self.step(step, way).await {
                Verdict::Equal => {}
                // What follows in the session may differ for it.
                refused @ (Verdict::Refused(_) | Verdict::Slow) => {
                    worst = refused;
                    break;
                }
                Verdict::Wrong(what) => {
                    worst = Verdict::Wrong(what);
                    break;
                }
            }
        }
        // A single statement that is answered leaves nothing behind.
        if case.steps.len() > 1 || worst != Verdict::Equal {
            self.settle(&worst).await;
        }
        worst
    }

    /// One statement in one way.
    async fn step(&mut self, step: &Step, way: Way) -> Verdict {
        let (plain, ours) = tokio::join!(
            tokio::time::timeout(PATIENCE, ask(&mut self.plain, step, way)),
            patient(&mut self.ours, step, way)
        );
        let plain = plain.expect("the plain database answers").expect("the plain database answers");
        let (plain, ours) = (self.answers(&plain, true), self.answers(&ours, false));
        for (at, one) in plain.iter().enumerate() {
            let two = ours.get(at).cloned().unwrap_or_default();
            let all = match &step.check {
                Check::Choice { of, .. } if one.error.is_none() => Some(self.all(of, step, way, at).await),
                _ => None,
            };
            match judge(one, &two, step, all.as_ref()) {
                Verdict::Equal => {}
                refused @ (Verdict::Refused(_) | Verdict::Slow) => return refused,
                Verdict::Wrong(what) => {
                    let plan = self.plan(step).await;
                    let params = if step.params[0].is_empty() { String::new() } else { format!("{:?}\n", step.params) };
                    return Verdict::Wrong(format!(
                        "{}\n{params}{way:?}: {what}\none PostgreSQL:\n{}\npgbraid:\n{}\n{plan}",
                        step.sql,
                        one.show(),
                        two.show()
                    ));
                }
            }
        }
        Verdict::Equal
    }

    fn answers(&self, frames: &[Vec<Frame>], plain: bool) -> Vec<Answer> {
        let name = |oid| self.system.type_name(plain, oid);
        frames.iter().map(|frames| Answer::read(frames, &name)).collect()
    }

    /// All rows that a choice is made from, on the plain database.
    async fn all(&mut self, of: &str, step: &Step, way: Way, at: usize) -> Answer {
        // A named statement's first answer is its description.
        let at = if step.params.len() > 1 && way != Way::Simple { at.saturating_sub(1) } else { at };
        let params = step.params.get(at).cloned().unwrap_or_default();
        let whole = Step { sql: of.to_owned(), params: vec![params], ..Step::default() };
        let frames = ask(&mut self.plain, &whole, way).await.expect("the plain database answers");
        self.answers(&frames, true).pop().unwrap_or_default()
    }

    /// How the proxy would run it, for a person who reads of a fault.
    async fn plan(&self, step: &Step) -> String {
        let explain = Step {
            sql: format!("EXPLAIN (COSTS OFF) {}", step.sql),
            params: vec![step.params[0].clone()],
            ..Step::default()
        };
        let Ok((mut raw, _)) = Raw::login_with(&self.system.sharded(), &[]).await else { return String::new() };
        let frames = patient(&mut raw, &explain, Way::Simple).await;
        let name = |oid| self.system.type_name(false, oid);
        let answer = Answer::read(&frames.concat(), &name);
        let lines = answer.rows.iter().filter_map(|row| row[0].as_ref());
        lines.map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect()
    }

    /// Leaves both sessions as they began.
    async fn settle(&mut self, verdict: &Verdict) {
        if matches!(verdict, Verdict::Wrong(_)) {
            self.plain = session(&self.system.plain()).await;
            self.ours = session(&self.system.sharded()).await;
            return;
        }
        for raw in [&mut self.plain, &mut self.ours] {
            let frames = raw.query("ROLLBACK; RESET ALL").await.expect("the session lives on");
            assert_eq!(frames.last().map(|frame| frame.kind), Some(b'Z'));
        }
    }
}

/// A session whose statements end in time.
async fn session(target: &Target) -> Raw {
    let login = Raw::login_with(target, &[("options", "-c statement_timeout=6s")]).await;
    login.expect("the login succeeds").0
}

/// Asks the proxy; what doesn't come in time is missing.
async fn patient(raw: &mut Raw, step: &Step, way: Way) -> Vec<Vec<Frame>> {
    match tokio::time::timeout(PATIENCE, ask(raw, step, way)).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}
