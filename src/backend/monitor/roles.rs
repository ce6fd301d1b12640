//! Who is the primary, and which replicas follow it, from what the servers say of themselves.
//!
//! Positions of different timelines can't be compared. After a failover a replica that has replayed more of the old
//! timeline than the new primary had isn't ahead: it lacks what was written since. So a replica counts only while it
//! shows that it is on the primary's timeline, and a primary of a lower timeline than one seen before is a former one.

/// Why a server that doesn't answer is unfit, where nobody knows it better.
pub const SILENT: &str = "it doesn't answer";

/// What one server said of itself when last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Not asked yet.
    NotHeard,
    /// It didn't answer.
    Nothing,
    Primary(Identity),
    Replica(Identity),
}

/// Which history a server is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `system_identifier`: one initdb, and all its copies.
    pub system: u64,
    /// The timeline that it writes; of a replica the highest that it is known to follow.
    pub timeline: u32,
}

/// What to make of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Others must be heard first.
    Wait,
    Primary,
    Replica,
    /// It isn't to be used, for this reason.
    Unfit(String),
}

/// What all servers of a shard said, and which primary that makes.
#[derive(Debug)]
pub struct Roles {
    names: Vec<String>,
    said: Vec<Said>,
    /// The present primary, or the last one.
    reign: Option<Reign>,
}

#[derive(Clone, Copy, Debug)]
struct Reign {
    server: usize,
    identity: Identity,
}

impl Roles {
    /// Servers by name.
    pub fn new(names: Vec<String>) -> Self {
        Self { said: vec![Said::NotHeard; names.len()], names, reign: None }
    }

    /// Notes what server `at` said and judges all of them anew.
    pub fn hear(&mut self, at: usize, said: Said) -> Vec<Verdict> {
        if let Some(before) = self.said.get_mut(at) {
            *before = said;
        }
        self.choose();
        (0..self.said.len()).map(|at| self.verdict(at)).collect()
    }

    /// Whether `at` is the primary now.
    #[cfg(test)]
    fn is_primary(&self, at: usize) -> bool {
        self.verdict(at) == Verdict::Primary
    }

    fn choose(&mut self) {
        // At the start a former primary may be heard first: wait for all.
        if self.said.contains(&Said::NotHeard) {
            return;
        }
        let system_of = |said: &Said| match said {
            Said::Primary(identity) | Said::Replica(identity) => Some(identity.system),
            Said::NotHeard | Said::Nothing => None,
        };
        // All servers were replaced by those of another initdb.
        if let Some(reign) = self.reign {
            let mut systems = self.said.iter().filter_map(system_of).peekable();
            if systems.peek().is_some() && !systems.any(|system| system == reign.identity.system) {
                self.reign = None;
            }
        }
        let claims = || {
            self.said.iter().enumerate().filter_map(|(server, said)| match said {
                Said::Primary(identity) => Some(Reign { server, identity: *identity }),
                _ => None,
            })
        };
        let rightful = claims().filter(|claim| {
            self.reign.is_none_or(|reign| {
                claim.identity.system == reign.identity.system && claim.identity.timeline >= reign.identity.timeline
            })
        });
        let former = self.reign.map(|reign| reign.server);
        // The highest timeline; of several the one that was the primary before, else the first of the list.
        let best = rightful.max_by_key(|claim| {
            (claim.identity.timeline, Some(claim.server) == former, std::cmp::Reverse(claim.server))
        });
        if let Some(best) = best {
            self.reign = Some(best);
        }
    }

    fn verdict(&self, at: usize) -> Verdict {
        let said = self.said.get(at).copied().unwrap_or(Said::NotHeard);
        match (said, self.reign) {
            (Said::NotHeard, _) => Verdict::Wait,
            (Said::Nothing, _) => Verdict::Unfit(SILENT.into()),
            (_, None) if self.said.contains(&Said::NotHeard) => Verdict::Wait,
            (Said::Primary(_), None) => Verdict::Wait,
            (Said::Replica(_), None) => Verdict::Replica,
            (Said::Primary(_), Some(reign)) if reign.server == at => Verdict::Primary,
            (Said::Primary(identity), Some(reign)) => Verdict::Unfit(self.usurper(identity, reign)),
            (Said::Replica(identity), Some(reign)) => match strange(identity, reign.identity) {
                Some(why) => Verdict::Unfit(why),
                None => Verdict::Replica,
            },
        }
    }

    fn usurper(&self, identity: Identity, reign: Reign) -> String {
        let primary = self.names.get(reign.server).map_or("", String::as_str);
        if identity.system != reign.identity.system {
            return format!("it belongs to another cluster than the primary {primary} (system identifiers differ)");
        }
        let (own, of_primary) = (identity.timeline, reign.identity.timeline);
        format!(
            "it says that it is a primary (timeline {own}), and so does or did {primary} (timeline {of_primary}): \
             a former primary that must be made a replica (pg_rewind)"
        )
    }
}

/// Why a replica isn't one of this primary.
fn strange(replica: Identity, primary: Identity) -> Option<String> {
    if replica.system != primary.system {
        return Some("it is a replica of another cluster than the primary's (system identifiers differ)".into());
    }
    let (own, of_primary) = (replica.timeline, primary.timeline);
    match own.cmp(&of_primary) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Less => Some(format!(
            "it isn't known to follow the primary's timeline {of_primary} (it shows {own}); the service user sees that \
             at once if it is a member of pg_monitor, else after the replica's next restartpoint"
        )),
        std::cmp::Ordering::Greater => {
            Some(format!("it follows timeline {own}, of a newer primary than the one known (timeline {of_primary})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(timeline: u32) -> Said {
        Said::Primary(Identity { system: 1, timeline })
    }

    fn replica(timeline: u32) -> Said {
        Said::Replica(Identity { system: 1, timeline })
    }

    fn roles() -> Roles {
        Roles::new(vec!["a".into(), "b".into(), "c".into()])
    }

    #[test]
    fn nobody_is_believed_before_all_were_heard() {
        let mut roles = roles();
        assert_eq!(roles.hear(0, primary(1)), [Verdict::Wait, Verdict::Wait, Verdict::Wait]);
        assert_eq!(roles.hear(1, replica(2)), [Verdict::Wait, Verdict::Wait, Verdict::Wait]);
        let verdicts = roles.hear(2, primary(2));
        assert!(matches!(verdicts[0], Verdict::Unfit(_)));
        assert_eq!(verdicts[1..], [Verdict::Replica, Verdict::Primary]);
    }

    #[test]
    fn a_failover_asks_replicas_for_their_timeline_anew() {
        let mut roles = roles();
        roles.hear(0, primary(1));
        roles.hear(1, replica(1));
        assert_eq!(roles.hear(2, replica(1)), [Verdict::Primary, Verdict::Replica, Verdict::Replica]);
        let verdicts = roles.hear(0, Said::Nothing);
        assert_eq!(verdicts[1..], [Verdict::Replica, Verdict::Replica], "reads go on without a primary");
        let verdicts = roles.hear(1, primary(2));
        assert_eq!(verdicts[1], Verdict::Primary);
        assert!(matches!(verdicts[2], Verdict::Unfit(_)), "it may have replayed what the new primary never had");
        assert_eq!(roles.hear(2, replica(2))[2], Verdict::Replica);
        assert!(matches!(roles.hear(0, primary(1))[0], Verdict::Unfit(_)), "the former primary");
        assert!(roles.is_primary(1));
        assert!(matches!(roles.hear(1, Said::Nothing)[0], Verdict::Unfit(_)), "not even if the other is gone");
        assert_eq!(roles.hear(0, replica(2))[0], Verdict::Replica);
    }

    #[test]
    fn of_two_primaries_of_one_timeline_the_first_stays() {
        let mut roles = roles();
        roles.hear(2, replica(3));
        roles.hear(0, Said::Nothing);
        assert_eq!(roles.hear(1, primary(3))[1], Verdict::Primary);
        let verdicts = roles.hear(0, primary(3));
        assert!(matches!(verdicts[0], Verdict::Unfit(_)));
        assert_eq!(verdicts[1], Verdict::Primary);
    }

    #[test]
    fn servers_of_another_cluster_are_not_used() {
        let mut roles = roles();
        let other = Identity { system: 2, timeline: 1 };
        roles.hear(0, primary(1));
        roles.hear(1, Said::Replica(other));
        let verdicts = roles.hear(2, Said::Primary(other));
        assert_eq!(verdicts[0], Verdict::Primary);
        assert!(matches!((&verdicts[1], &verdicts[2]), (Verdict::Unfit(_), Verdict::Unfit(_))));
        // Unless nothing of the former is left.
        let verdicts = roles.hear(0, Said::Nothing);
        assert_eq!(verdicts[1..], [Verdict::Replica, Verdict::Primary]);
    }
}
