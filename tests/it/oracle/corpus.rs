//! Reads the corpus: classes, cases of one or more statements, parameters, what is compared; `<<a|b>>` makes several.

/// One case: statements that run one after another in one session.
#[derive(Clone, Debug, Default)]
pub struct Case {
    pub class: String,
    pub name: String,
    pub steps: Vec<Step>,
}

/// One statement.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub sql: String,
    /// One Bind each; a statement without parameters has one empty.
    pub params: Vec<Vec<Param>>,
    pub check: Check,
    /// Execute's row limit; 0: none.
    pub limit: u32,
    /// Only in the simple protocol.
    pub simple: bool,
    /// An error at run time (class 22) may come in one place only: it hangs on the order of evaluation.
    pub risky: bool,
}

/// A parameter: the type's OID (0: not declared) and name, and the value as text.
#[derive(Clone, Debug)]
pub struct Param {
    pub oid: u32,
    pub kind: String,
    pub value: Option<String>,
}

/// What is compared beside columns and tags.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Check {
    /// Rows: in their order if the statement has ORDER BY, else as a bag.
    #[default]
    Rows,
    /// Rows as a bag, and these columns (from 1) in their order.
    Order(Vec<usize>),
    /// A choice of rows: as many as on the plain database, each one of this statement's; these columns in their order.
    Choice { of: String, order: Vec<usize> },
    /// The number of rows only: values differ from run to run.
    Count,
    /// Elements of arrays and lists in any order.
    Bag,
    /// That it succeeds.
    Succeeds,
}

impl Case {
    /// Whether a word occurs in it.
    pub fn has(&self, word: &str) -> bool {
        self.class.contains(word) || self.name.contains(word) || self.steps.iter().any(|step| step.sql.contains(word))
    }
}

/// All cases of a file. Cases are separated by empty lines.
pub fn read(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut class = String::new();
    for block in text.split("\n\n") {
        if let Some(line) = block.lines().find(|line| line.starts_with("-- class: ")) {
            class = line["-- class: ".len()..].trim().to_owned();
        }
        for block in expand(block) {
            let case = case(&class, &block);
            if !case.steps.is_empty() {
                cases.push(case);
            }
        }
    }
    cases
}

fn case(class: &str, block: &str) -> Case {
    let mut case = Case { class: class.to_owned(), ..Case::default() };
    let mut step = Step::default();
    let mut order = Vec::new();
    for line in block.lines() {
        if let Some(directive) = line.strip_prefix("-- ") {
            let Some((word, rest)) = directive.split_once(": ") else { continue };
            match word {
                "name" => case.name = rest.to_owned(),
                "params" => step.params = rest.split(" | ").map(params).collect(),
                "order" => order = rest.split(',').map(|n| n.trim().parse().unwrap()).collect(),
                "choice" => step.check = Check::Choice { of: rest.to_owned(), order: Vec::new() },
                "check" => {
                    step.check = match rest {
                        "count" => Check::Count,
                        "bag" => Check::Bag,
                        "succeeds" => Check::Succeeds,
                        other => panic!("unknown check {other}"),
                    }
                }
                "rows" => step.limit = rest.trim().parse().unwrap(),
                "protocol" => step.simple = rest.trim() == "simple",
                "class" => {}
                comment => assert!(comment.contains(' '), "unknown directive {comment} in {block}"),
            }
            continue;
        }
        if line.starts_with("--") {
            continue;
        }
        step.sql.push_str(line);
        if !line.ends_with(';') {
            step.sql.push('\n');
            continue;
        }
        step.sql.pop();
        let mut done = std::mem::take(&mut step);
        let order = std::mem::take(&mut order);
        match &mut done.check {
            Check::Choice { order: columns, .. } => *columns = order,
            check if !order.is_empty() => *check = Check::Order(order),
            _ => {}
        }
        if done.params.is_empty() {
            done.params.push(Vec::new());
        }
        case.steps.push(done);
    }
    assert!(step.sql.trim().is_empty(), "a statement without a semicolon: {}", step.sql);
    case
}

fn params(list: &str) -> Vec<Param> {
    list.split(", ")
        .map(|param| {
            let (kind, value) = param.split_once('=').unwrap_or_else(|| panic!("no `=` in {param}"));
            let oid = match kind {
                "?" => 0,
                "bool" => 16,
                "int8" => 20,
                "int2" => 21,
                "int4" => 23,
                "text" => 25,
                "float8" => 701,
                "bpchar" => 1042,
                "varchar" => 1043,
                "date" => 1082,
                "timestamptz" => 1184,
                "numeric" => 1700,
                "uuid" => 2950,
                "int8[]" => 1016,
                "int4[]" => 1007,
                "text[]" => 1009,
                "uuid[]" => 2951,
                other => panic!("unknown type {other}"),
            };
            let value = (value != "NULL").then(|| value.to_owned());
            Param { oid, kind: kind.to_owned(), value }
        })
        .collect()
}

/// All choices of the first `<<a|b>>`, and so on for the rest.
fn expand(text: &str) -> Vec<String> {
    let Some(begin) = text.find("<<") else { return vec![text.to_owned()] };
    let Some(length) = text[begin..].find(">>") else { return vec![text.to_owned()] };
    let choices = &text[begin + 2..begin + length];
    let rest = expand(&text[begin + length + 2..]);
    let mut all = Vec::new();
    for choice in choices.split('|') {
        all.extend(rest.iter().map(|rest| format!("{}{choice}{rest}", &text[..begin])));
    }
    all
}

#[test]
fn choices_are_multiplied_and_directives_belong_to_the_next_statement() {
    let text =
        "-- class: a\n-- params: int8=1 | int8=NULL\nSELECT <<1|2>>\n, $1;\n-- order: 2\nSELECT <<3|4>>;\n\nBEGIN;";
    let cases = read(text);
    assert_eq!(cases.len(), 5);
    assert_eq!(cases[1].steps[0].sql, "SELECT 1\n, $1");
    assert_eq!(cases[1].steps[0].params.len(), 2);
    assert_eq!(cases[2].steps[1].check, Check::Order(vec![2]));
    assert_eq!((cases[4].class.as_str(), cases[4].steps[0].sql.as_str()), ("a", "BEGIN"));
}
