//! Any bytes as a first packet, as frames from a server, as a message: read within bounds, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::wire::frame::{Frame, HEADER, split_cstr};
use pgbraid::wire::message::{error_field, error_response, read_data_row, read_error, read_parameter_status};
use pgbraid::wire::reader::Reader;
use pgbraid::wire::startup::{First, body_length, parse};

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    match kind % 3 {
        0 => first_packet(bytes),
        1 => frames(bytes),
        _ => steps(bytes),
    }
});

fn first_packet(bytes: &[u8]) {
    if let Some((header, _)) = bytes.split_first_chunk::<4>() {
        assert!(body_length(*header).is_ok_and(|length| (4..=10_000).contains(&length)) || body_length(*header).is_err());
    }
    let Ok(First::Startup(startup)) = parse(bytes) else { return };
    let held: usize = startup.parameters.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    assert_eq!(held + 5, bytes.len());
    let mut out = Vec::new();
    startup.negotiate(&mut out);
    assert!(out.len() <= bytes.len() + 16);
    let _ = startup.replication();
}

fn frames(mut bytes: &[u8]) {
    while let Ok(Some(frame)) = Frame::parse(bytes) {
        assert!(frame.len >= HEADER);
        let Some((message, rest)) = bytes.split_at_checked(frame.len) else { return };
        let body = &message[HEADER..];
        let error = read_error(body);
        let mut out = Vec::new();
        error_response(&mut out, &error);
        let again = read_error(&out[HEADER..]);
        assert_eq!((error.code(), error.message()), (again.code(), again.message()));
        for field in [b'S', b'C', b'M', 0] {
            let _ = error_field(body, field);
        }
        let _ = read_parameter_status(body);
        let _ = split_cstr(body);
        if let Some(columns) = read_data_row(body) {
            let held: usize = columns.iter().map(|column| 4 + column.map_or(0, <[u8]>::len)).sum();
            assert_eq!(held + 2, body.len());
        }
        bytes = rest;
    }
}

fn steps(bytes: &[u8]) {
    let (steps, bytes) = bytes.split_at(bytes.len().min(16));
    let mut reader = Reader::new(bytes);
    let mut left = reader.left();
    for step in steps {
        let read = match step % 8 {
            0 => reader.u8().is_ok(),
            1 => reader.i16().is_ok(),
            2 => reader.u32().is_ok(),
            3 => reader.i64().is_ok(),
            4 => reader.cstr().is_ok(),
            5 => reader.take(usize::from(*step)).is_ok_and(|taken| !taken.is_empty()),
            6 => reader.sub(usize::from(*step)).is_ok_and(|sub| !sub.is_empty()),
            _ => reader.value().is_ok(),
        };
        assert!(if read { reader.left() < left } else { reader.left() <= left });
        left = reader.left();
    }
}
