//! When a worker waits for its turns, by tables; and that the kernel does as it's asked.

use super::*;

/// Runs spans of 50 ms through a rule: turns a second and microseconds waited a turn; what it says after each.
fn judged(spans: &[(u64, u64)]) -> Vec<bool> {
    let mut now = Instant::now();
    let mut rule = Rule::new(now);
    let mut says = Vec::new();
    for (turns_a_second, micros) in spans {
        now += LOOK;
        let turns = turns_a_second / 20;
        says.push(rule.judge(now, Span { elapsed: LOOK, turns, waited: Duration::from_micros(micros * turns) }));
    }
    says
}

#[test]
fn it_waits_while_turns_are_many_and_come_soon() {
    for (what, spans, says) in [
        ("idle", &[(0, 0), (100, 10)][..], &[false, false][..]),
        ("busy", &[(2_000, 100), (20_000, 20)], &[true, true]),
        ("less to do", &[(20_000, 20), (1_000, 20), (999, 20)], &[true, true, false]),
        ("turns that come late anyway", &[(20_000, 501)], &[false]),
        ("one late look", &[(20_000, 20), (500, 4_000), (20_000, 20), (500, 4_000)], &[true, true, true, true]),
        (
            "late looks in sequence",
            &[(20_000, 20), (500, 4_000), (500, 4_000), (20_000, 20)],
            &[true, true, false, false],
        ),
        ("nothing at all happened", &[(20_000, 20), (0, 0)], &[true, false]),
    ] {
        assert_eq!(judged(spans), says, "{what}");
    }
}

#[test]
fn after_turns_came_late_it_is_barred_longer_each_time() {
    let mut now = Instant::now();
    let mut rule = Rule::new(now);
    let span = |turns, micros| Span { elapsed: LOOK, turns, waited: Duration::from_micros(micros * turns) };
    for bar in [5, 10, 20, 40, 60, 60] {
        assert!(rule.judge(now, span(1_000, 20)), "barred after {bar} s");
        assert!(rule.judge(now, span(10, 4_000)));
        assert!(!rule.judge(now, span(10, 4_000)));
        now += Duration::from_secs(bar) - LOOK;
        assert!(!rule.judge(now, span(1_000, 20)), "tried before {bar} s were over");
        now += LOOK;
    }
    // It went well for a minute.
    assert!(rule.judge(now, span(1_000, 20)));
    now += BARRED_MOST;
    for late in [20, 4_000, 4_000] {
        rule.judge(now, span(1_000, late));
    }
    assert!(!rule.waits);
    assert!(rule.judge(now + BARRED, span(1_000, 20)));
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_counts_turns_and_schedules_as_asked() {
    let told = std::thread::spawn(|| {
        let account = Account::open()?;
        let before = account.read()?;
        // Each rest ends a turn.
        for _ in 0..100 {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let turns = account.read()?.turns - before.turns;
        let granted = ask_for(Policy::Batch);
        let inner = kernel::policy()?;
        let back = ask_for(Policy::Normal);
        Some((turns, granted, inner, back, kernel::policy()?))
    });
    let (turns, granted, inner, back, last) = told.join().unwrap().expect("an account of turns");
    assert!(turns >= 50, "{turns}");
    assert!(granted && back);
    assert_eq!((inner, last), (Policy::Batch, Policy::Normal));
}

/// A worker's thread that wakes often asks to wait for its turns, and stops when it has little to do.
#[cfg(target_os = "linux")]
#[test]
fn a_busy_thread_waits_for_its_turns_and_an_idle_one_does_not() {
    let metrics = Arc::new(SessionMetrics::default());
    let seen = metrics.batched.clone();
    let policies = std::thread::spawn(move || {
        let turns = Turns::new(metrics)?;
        let mut watch = turns.watch.into_inner().ok()?;
        // Time goes as this test says, so that a slow machine changes nothing.
        let mut now = watch.at;
        let mut look = |watch: &mut Watch, elapsed: Duration, turns: u64| {
            now += elapsed;
            watch.seen.turns = watch.account.read()?.turns.checked_sub(turns)?;
            watch.seen.waited = watch.account.read()?.waited;
            watch.look(now);
            kernel::policy()
        };
        while watch.account.read()?.turns < 200 {
            std::thread::park_timeout(Duration::from_micros(50));
        }
        let busy = look(&mut watch, LOOK, 200)?;
        let raised = seen.value();
        let idle = look(&mut watch, LOOK * 1_000, 1)?;
        Some((busy, raised, idle, seen.value()))
    });
    let told = policies.join().unwrap().expect("an account of turns");
    assert_eq!(told, (Policy::Batch, 1, Policy::Normal, 0));
}
