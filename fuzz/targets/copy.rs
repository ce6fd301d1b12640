//! Any bytes as a COPY stream, in any pieces: cut without a panic, the same however they come, and nothing is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::execute::copy::splitter::{Part, Splitter, field_of};
use pgbraid::plan::sharded::copy_options::{CopyFormat, CopyKind};

/// All parts with the lines up to each; `w` ends the stream.
fn parts(format: &CopyFormat, data: &[u8], chunk: usize) -> Vec<(u8, Vec<u8>, u64)> {
    let mut splitter = Splitter::new(format.clone());
    let mut chunks = data.chunks(chunk.max(1));
    let mut found = Vec::new();
    loop {
        let (kind, bytes) = match splitter.peek() {
            Part::More => {
                match chunks.next() {
                    Some(bytes) => splitter.push(bytes),
                    None => splitter.finish(),
                }
                continue;
            }
            Part::End => return found,
            Part::Head(bytes, _) => (b'h', bytes.to_vec()),
            Part::Row(bytes, line) => {
                for number in 0..3 {
                    let _ = field_of(format, bytes, &line, number);
                }
                assert!(line.text <= line.len && line.len == bytes.len());
                (b'r', bytes.to_vec())
            }
            Part::Wrong(bytes) => (b'w', [bytes, &chunks.by_ref().collect::<Vec<_>>().concat()].concat()),
        };
        splitter.consume();
        found.push((kind, bytes, splitter.line()));
        if kind == b'w' {
            return found;
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&[flags, chunk], stream)) = data.split_first_chunk::<2>() else { return };
    let kind = match flags & 3 {
        0 => CopyKind::Text,
        1 => CopyKind::Binary,
        _ => CopyKind::Csv,
    };
    let format = CopyFormat {
        kind,
        delimiter: if kind == CopyKind::Csv { b',' } else { b'\t' },
        null: if flags & 4 == 0 { Vec::new() } else { b"\\N".to_vec() },
        default: (flags & 8 != 0).then(|| b"x".to_vec()),
        escape: if flags & 16 == 0 { b'"' } else { b'\\' },
        header: flags & 32 != 0,
        force_null: flags & 64 != 0,
        force_not_null: flags & 64 == 0,
        csv_end: flags & 128 == 0,
        ..CopyFormat::default()
    };
    let whole = parts(&format, stream, stream.len());
    assert_eq!(whole, parts(&format, stream, usize::from(chunk % 16) + 1));
    // The parts are the stream from its start on.
    let bytes: Vec<u8> = whole.iter().flat_map(|part| part.1.iter().copied()).collect();
    assert!(stream.starts_with(&bytes));
});
