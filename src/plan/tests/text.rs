//! Any text is planned without a panic; texts of one fingerprint have one plan.

use super::*;
use crate::sql::{FingerprintKey, fingerprint};
use proptest::prelude::*;

/// Words that mean something to the planner.
const WORDS: &str = "select from t u v_nested where a = 1 'x' $1 ( ) , . * with x as join on using union all table \
    values only lateral insert into update set delete merge do then for share nextval vol lower set_config true \
    truncate copy stdin to explain analyze begin ; prepare execute declare cursor hold create temp is not distinct rows \
    order by limit current_setting 'a.b' :: [ ] @@@ - age xmin \"t\" U&\"t\" savepoint rollback and stab positive";

fn words() -> impl Strategy<Value = String> {
    let mut words: Vec<&str> = WORDS.split_whitespace().collect();
    words.push("/* pgbraid: role=primary */");
    proptest::collection::vec(proptest::sample::select(words), 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn any_words_are_planned(sql in words()) {
        let plan = planned(&sql);
        for step in &plan.steps {
            prop_assert!(sql.get(step.span.clone()).is_some());
        }
        if plan.replica.is_some() {
            prop_assert!(!plan.steps.is_empty() && plan.steps.iter().all(|step| step.kind == Kind::Read));
            prop_assert!(plan.steps.iter().all(|step| step.writes == WriteSet::None && step.pins.is_none()));
        }
    }

    #[test]
    fn one_fingerprint_one_plan(sql in words()) {
        let key = FingerprintKey::new(3);
        let other = sql.replace(" 1", " \n 0x2F ").replace("'x'", "$q$;--$q$").replace("'a.b'", "E'\\''");
        let Some(print) = fingerprint(sql.as_bytes(), &key, true) else { return Ok(()) };
        prop_assert_eq!(fingerprint(other.as_bytes(), &key, true), Some(print));
        let blank = |mut plan: Plan| {
            plan.steps.iter_mut().for_each(|step| step.span = 0..0);
            plan
        };
        prop_assert_eq!(blank(planned(&sql)), blank(planned(&other)));
    }

    #[test]
    fn any_bytes_are_planned(sql in proptest::collection::vec(any::<u8>(), 0..60), scs in any::<bool>()) {
        let context = Context { standard_conforming_strings: scs, ..context(&CATALOG) };
        let _ = plan(&sql, &context);
    }
}
