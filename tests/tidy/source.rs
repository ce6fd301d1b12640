//! Reads the house's sources as text: comments and literals blanked, test code told apart, modules followed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A source file.
pub struct Source {
    /// From the package's folder, with `/`.
    pub path: String,
    pub text: String,
    /// The text with comments and the insides of literals blanked: every byte and line keeps its place.
    pub masked: String,
    /// `masked` without items behind `#[cfg(test)]`; blank if all of the file is test code.
    pub code: String,
}

impl Source {
    /// The line, from 1, of a byte.
    pub fn line(&self, offset: usize) -> usize {
        self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
    }

    /// `src/wire/frame.rs` is in `wire`; `src/lib.rs` in none.
    pub fn module(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        let first = rest.split('/').next()?.trim_end_matches(".rs");
        (first != "lib" && first != "main").then_some(first)
    }
}

/// The package's folder.
pub fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files under a folder of the package, sorted, as paths from the package's folder.
pub fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![package().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", "node_modules", "__pycache__"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else {
                found.push(relative(&path));
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(package()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

/// The text of a file, or nothing where it isn't text.
pub fn text_of(path: &str) -> String {
    std::fs::read(package().join(path)).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// The Rust files of a folder, and which of them are reached from the roots by `mod` declarations.
pub fn sources(folder: &str, roots: &[&str]) -> (Vec<Source>, BTreeSet<String>) {
    let mut sources: BTreeMap<String, Source> = BTreeMap::new();
    for path in files(folder).into_iter().filter(|path| path.ends_with(".rs")) {
        let text = text_of(&path);
        let masked = mask(&text);
        let code = without_tests(&masked);
        sources.insert(path.clone(), Source { path, text, masked, code });
    }
    let mut reached = BTreeSet::new();
    let mut todo: Vec<(String, bool)> = roots.iter().map(|root| ((*root).to_owned(), false)).collect();
    while let Some((path, test)) = todo.pop() {
        let Some(source) = sources.get_mut(&path) else { continue };
        if !reached.insert(path.clone()) {
            continue;
        }
        if test {
            source.code = blank(&source.masked);
        }
        for (name, offset) in declared_modules(&source.masked) {
            let in_test = test || source.code.get(offset..offset + 3) != Some("mod");
            todo.extend(homes_of(source, &name, offset).into_iter().map(|home| (home, in_test)));
        }
    }
    (sources.into_values().collect(), reached)
}

/// The files in which a module may live.
fn homes_of(source: &Source, name: &str, offset: usize) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let before = source.text.get(..offset).unwrap_or("").trim_end();
    if let Some((_, path)) = before.lines().next_back().unwrap_or("").split_once("#[path = \"") {
        return vec![format!("{folder}/{}", path.split('"').next().unwrap_or(""))];
    }
    let root = ["lib.rs", "main.rs", "mod.rs"].contains(&file) || source.path == "tests/tidy.rs";
    let stem = if root { folder.to_owned() } else { format!("{folder}/{}", file.trim_end_matches(".rs")) };
    vec![format!("{stem}/{name}.rs"), format!("{stem}/{name}/mod.rs")]
}

/// `mod name;` declarations: name, and the offset of `mod`.
fn declared_modules(masked: &str) -> Vec<(String, usize)> {
    words(masked, "mod")
        .filter_map(|offset| {
            let rest = masked.get(offset + 3..)?.trim_start();
            let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
            rest.get(name.len()..)?.trim_start().starts_with(';').then_some((name, offset))
        })
        .collect()
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Offsets at which `word` stands with no letter, digit or underscore beside it.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(offset, _)| offset).filter(move |offset| {
        let before = text.get(..*offset).and_then(|t| t.chars().next_back());
        let after = text.get(offset + word.len()..).and_then(|t| t.chars().next());
        let edge = |c: Option<char>, at_word: Option<char>| !(c.is_some_and(is_word) && at_word.is_some_and(is_word));
        edge(before, word.chars().next()) && edge(after, word.chars().next_back())
    })
}

/// All but line ends as spaces.
fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// Blanks comments and the insides of string and character literals; quotes stay.
pub fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = bytes.iter().map(|byte| if byte.is_ascii() { *byte } else { b'x' }).collect();
    let mut at = 0;
    while at < bytes.len() {
        let (from, to) = next_hidden(bytes, at);
        for byte in out.iter_mut().take(to).skip(from).filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
        at = to.max(at + 1);
    }
    String::from_utf8(out).unwrap()
}

/// At `at`: the bytes to blank and where to go on; an empty range one further where there is nothing to blank.
fn next_hidden(bytes: &[u8], at: usize) -> (usize, usize) {
    let rest = &bytes[at..];
    let find = |needle: &[u8], from: usize| {
        bytes[from.min(bytes.len())..].windows(needle.len()).position(|w| w == needle).map_or(bytes.len(), |p| from + p)
    };
    if rest.starts_with(b"//") {
        return (at, find(b"\n", at));
    }
    if rest.starts_with(b"/*") {
        let (mut depth, mut end) = (1, at + 2);
        while depth > 0 && end < bytes.len() {
            match &bytes[end..(end + 2).min(bytes.len())] {
                b"/*" => (depth, end) = (depth + 1, end + 2),
                b"*/" => (depth, end) = (depth - 1, end + 2),
                _ => end += 1,
            }
        }
        return (at, end);
    }
    let in_word = at > 0 && is_word(char::from(bytes[at - 1]));
    let raw = rest.strip_prefix(b"br").or_else(|| rest.strip_prefix(b"r")).or_else(|| rest.strip_prefix(b"cr"));
    if let (false, Some(raw)) = (in_word, raw) {
        let hashes = raw.iter().take_while(|byte| **byte == b'#').count();
        if raw.get(hashes) == Some(&b'"') {
            let from = bytes.len() - raw.len() + hashes + 1;
            let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            let end = find(&close, from);
            // Go on behind the closing quote, which isn't the opening one of another literal.
            return skip_closing(bytes, from, end, close.len());
        }
    }
    if rest.starts_with(b"\"") {
        let mut end = at + 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        return skip_closing(bytes, at + 1, end, 1);
    }
    if rest.starts_with(b"'") {
        // A character, unless it is a lifetime: `'a` without a quote behind it.
        let character =
            std::str::from_utf8(&bytes[at + 1..]).ok().and_then(|t| t.chars().next()).map_or(1, char::len_utf8);
        if bytes.get(at + 1) == Some(&b'\\') {
            return skip_closing(bytes, at + 1, find(b"'", at + 3), 1);
        }
        if bytes.get(at + 1 + character) == Some(&b'\'') {
            return skip_closing(bytes, at + 1, at + 1 + character, 1);
        }
    }
    (at, at)
}

/// The inside of a literal and its closing delimiter are blanked together: an opening quote alone says "a literal".
fn skip_closing(bytes: &[u8], from: usize, end: usize, delimiter: usize) -> (usize, usize) {
    (from, (end + delimiter).min(bytes.len()))
}

/// Blanks the items behind `#[cfg(test)]` and `#[test]`.
fn without_tests(masked: &str) -> String {
    let mut out = masked.as_bytes().to_vec();
    for attribute in ["#[cfg(test)]", "#[cfg(all(test", "#[test]"] {
        for (start, _) in masked.match_indices(attribute) {
            let end = end_of_item(masked, start);
            for byte in out.iter_mut().take(end).skip(start).filter(|byte| **byte != b'\n') {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(out).unwrap()
}

/// Behind the `;` or the closing brace of the item that begins at `start`.
fn end_of_item(masked: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in masked.bytes().enumerate().skip(start) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && byte == b'}' {
                    return offset + 1;
                }
            }
            b';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    masked.len()
}

/// Functions with a body: name, offset of `fn`, and the number of lines from it to the closing brace.
pub fn functions(masked: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for offset in words(masked, "fn") {
        let rest = masked.get(offset + 2..).unwrap_or("");
        let name: String = rest.trim_start().chars().take_while(|c| is_word(*c)).collect();
        if name.is_empty() {
            continue;
        }
        let end = end_of_item(masked, offset);
        let lines = masked.get(offset..end).unwrap_or("").matches('\n').count() + 1;
        if masked.get(..end).is_some_and(|text| text.ends_with('}')) {
            found.push((name, offset, lines));
        }
    }
    found
}

#[test]
fn masking_keeps_code_and_hides_the_rest() {
    let text = "a /* x /* y */ z */ b // c\n'd' 'e \"f\\\"g\" r#\"h\"i\"# j b'\\'' '\\u{1}' k é";
    let masked = mask(text);
    assert_eq!(masked.len(), text.len());
    for hidden in ["x", "y", "z", "c", "d", "f", "g", "h", "i", "u"] {
        assert_eq!(words(&masked, hidden).count(), 0, "{hidden} in {masked}");
    }
    for kept in ["a", "b", "e", "j", "k"] {
        assert!(words(&masked, kept).count() > 0, "{kept} in {masked}");
    }
}

#[test]
fn test_code_is_told_apart() {
    let masked = mask("fn a() { x[0] }\n#[cfg(test)]\nmod tests { fn b() { y } }\n#[cfg(test)] use z;\nfn c() {\n}\n");
    let code = without_tests(&masked);
    assert!(code.contains("x[0]") && !code.contains('y') && !code.contains('z'), "{code}");
    let functions = functions(&code);
    assert_eq!(functions.iter().map(|f| (f.0.as_str(), f.2)).collect::<Vec<_>>(), [("a", 1), ("c", 2)]);
}
