//! Conversations message by message, with one PostgreSQL and with three shards: what a client hears is the same.
//!
//! `tests/corpus/sharded/*.talk` has them; the first lines of each file tell how they are written.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use crate::oracle::system::{More, System, own};
use crate::support::build;
use crate::support::raw::{Frame, Raw, Target};

/// Only conversations with this text in their name: for a person who looks for a fault.
const ONLY: &str = "PGBRAID_TALK_ONLY";

/// How long an answer may take; a test fails by it, none passes.
const PATIENCE: Duration = Duration::from_secs(30);

const SCHEMA: &str = "CREATE TABLE notes (customer_id bigint, n int, text text, PRIMARY KEY (customer_id, n));
    CREATE TABLE local (id serial PRIMARY KEY, text text NOT NULL, n int CHECK (n > 0));
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE 'row %', NEW.text; RETURN NEW; END $$;
    CREATE FUNCTION said(n bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'said %', n; RETURN n; END $$;
    CREATE TRIGGER noted BEFORE INSERT ON local FOR EACH ROW WHEN (NEW.text = 'noted') EXECUTE FUNCTION noted();";

/// One conversation.
struct Talk {
    name: String,
    /// What the proxy says where it declines; the rest isn't said then.
    refused: Option<String>,
    steps: Vec<Step>,
}

/// Messages that go out in one write, and how many ReadyForQuery they bring.
#[derive(Default)]
struct Step {
    lines: Vec<String>,
    bytes: Vec<u8>,
    ready: usize,
}

#[test]
fn conversations_are_the_same() {
    said("session");
}

#[test]
fn extended_conversations_are_the_same() {
    said("extended");
}

#[test]
fn conversations_about_cursors_are_the_same() {
    said("cursors");
}

#[test]
fn conversations_with_copy_are_the_same() {
    said("copy");
}

/// Says all of a file's conversations.
#[allow(clippy::disallowed_methods, reason = "a person says which to run")]
fn said(file: &str) {
    let path = format!("{}/tests/corpus/sharded/{file}.talk", env!("CARGO_MANIFEST_DIR"));
    let only = std::env::var(ONLY).unwrap_or_default();
    let talks = read(&std::fs::read_to_string(path).unwrap());
    let system = systems();
    let _turn = system.turn();
    let mut faults = String::new();
    for talk in talks.iter().filter(|talk| talk.name.contains(&only)) {
        if let Err(fault) = system.block_on(compare(system, talk)) {
            let _ = write!(faults, "== {}\n{fault}\n", talk.name);
        }
    }
    assert!(faults.is_empty(), "told apart:\n{faults}");
}

/// The servers that these tests share.
pub fn systems() -> &'static System {
    static SHARED: OnceLock<System> = OnceLock::new();
    SHARED.get_or_init(|| {
        let places = "notes = { key = \"customer_id\", with = \"customers\" }\n";
        own(More { schema: SCHEMA, places, ..More::default() })
    })
}

async fn compare(system: &System, talk: &Talk) -> Result<(), String> {
    let plain = play(&system.plain(), talk).await;
    let ours = play(&system.sharded(), talk).await;
    for (at, step) in talk.steps.iter().enumerate() {
        let show = |frames: Option<&Vec<Frame>>, plain: bool| match frames {
            Some(frames) => shown(frames, &|oid| system.type_name(plain, oid)),
            None => "  (nothing came)\n".to_owned(),
        };
        let (one, two) = (show(plain.get(at), true), show(ours.get(at), false));
        if one == two {
            continue;
        }
        match &talk.refused {
            Some(text) if is_refusal(ours.get(at), text) => return Ok(()),
            _ => {}
        }
        return Err(format!("{}\none PostgreSQL:\n{one}pgbraid:\n{two}", step.lines.join("\n")));
    }
    match &talk.refused {
        Some(text) => Err(format!("isn't refused with {text}")),
        None => Ok(()),
    }
}

fn is_refusal(frames: Option<&Vec<Frame>>, text: &str) -> bool {
    frames.into_iter().flatten().filter(|frame| frame.kind == b'E').any(|frame| {
        let fields = frame.fields();
        let said = fields.get(&'M').is_some_and(|message| message.contains(text));
        said && fields.contains_key(&'H') && matches!(frame.sqlstate().as_str(), "0A000" | "53400")
    })
}

async fn play(target: &Target, talk: &Talk) -> Vec<Vec<Frame>> {
    let mut raw = Raw::login(target).await;
    let mut answers = Vec::new();
    for step in &talk.steps {
        let frames = async {
            raw.send(&step.bytes).await?;
            raw.until_ready(step.ready).await
        };
        match tokio::time::timeout(PATIENCE, frames).await {
            Ok(Ok(frames)) => answers.push(frames),
            _ => break,
        }
    }
    answers
}

fn read(text: &str) -> Vec<Talk> {
    let mut talks = Vec::new();
    for part in text.split("\n== ").skip(1) {
        let (name, rest) = part.split_once('\n').unwrap_or((part, ""));
        let mut talk = Talk { name: name.to_owned(), refused: None, steps: Vec::new() };
        for paragraph in rest.split("\n\n") {
            let mut step = Step::default();
            for line in paragraph.lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
                match line.strip_prefix("refused: ") {
                    Some(text) => talk.refused = Some(text.to_owned()),
                    None => step.say(line),
                }
            }
            if !step.lines.is_empty() {
                talk.steps.push(step);
            }
        }
        talks.push(talk);
    }
    talks
}

impl Step {
    /// One message, by its letter.
    fn say(&mut self, line: &str) {
        let (letter, rest) = line.split_once(' ').unwrap_or((line, ""));
        let parts: Vec<&str> = rest.split(" | ").collect();
        let words: Vec<&str> = parts[0].split_whitespace().collect();
        let name = |at: usize| match words.get(at).copied().unwrap_or("-") {
            "-" => "",
            name => name,
        };
        self.bytes.extend(match letter {
            "Q" => build::query(&plain(rest)),
            "P" => {
                let types = parts.get(2).map_or("", |types| types).split_whitespace();
                build::parse(
                    name(0),
                    &plain(parts.get(1).unwrap_or(&"")),
                    &types.map(|oid| oid.parse().unwrap()).collect::<Vec<_>>(),
                )
            }
            "B" => {
                let values: Vec<Option<Vec<u8>>> =
                    parts[1..].iter().map(|value| (*value != "NULL").then(|| plain(value).into_bytes())).collect();
                let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
                let formats: Vec<u16> = words.iter().skip(2).map(|format| format.parse().unwrap()).collect();
                build::bind_formats(name(0), name(1), &[], &values, &formats)
            }
            "D" => build::describe(words[0].as_bytes()[0], name(1)),
            "C" => build::close(words[0].as_bytes()[0], name(1)),
            "E" => build::execute(name(0), words.get(1).map_or(0, |rows| rows.parse().unwrap())),
            "S" => build::sync(),
            "H" => build::flush(),
            "d" => build::copy_data(plain(rest).as_bytes()),
            "c" => build::copy_done(),
            "f" => build::copy_fail(rest),
            other => panic!("no message {other}: {line}"),
        });
        self.ready += usize::from(matches!(letter, "Q" | "S"));
        self.lines.push(line.to_owned());
    }
}

/// `\n` and `\t` are what they say.
fn plain(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

/// Frames for the eye, without what can't be the same on two servers: OIDs, places in the server's source.
fn shown(frames: &[Frame], name: &dyn Fn(u32) -> String) -> String {
    let mut text = String::new();
    for frame in frames {
        let line = match frame.kind {
            b'T' => columns(&frame.body, name),
            b't' => frame.body[2..].chunks(4).map(|oid| name(u32_of(oid))).collect::<Vec<_>>().join(" "),
            b'E' | b'N' => {
                let fields: HashMap<char, String> = frame.fields().into_iter().collect();
                let letters = "SVCMDHPpqWstcdn".chars();
                letters.filter_map(|at| Some(format!("{at}={}", fields.get(&at)?))).collect::<Vec<_>>().join(" ")
            }
            b'A' => String::from_utf8_lossy(&frame.body[4..]).into_owned(),
            b'K' => String::new(),
            _ => frame.body.escape_ascii().to_string(),
        };
        let _ = writeln!(text, "  {} {line}", char::from(frame.kind));
    }
    text
}

fn columns(body: &[u8], name: &dyn Fn(u32) -> String) -> String {
    let mut rest = &body[2..];
    let mut shown = String::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        let fixed = &rest[end + 1..];
        let table = if u32_of(&fixed[..4]) == 0 { "" } else { " of a table" };
        let attribute = u16::from_be_bytes([fixed[4], fixed[5]]);
        let _ = write!(
            shown,
            "{}{table} {attribute}: {} {:?}; ",
            String::from_utf8_lossy(&rest[..end]),
            name(u32_of(&fixed[6..10])),
            &fixed[10..18]
        );
        rest = &fixed[18..];
    }
    shown
}

fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}
