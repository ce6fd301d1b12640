//! Looking into a DataRow's body without copying it.

/// The value of column `at` (from 0). `None`: the row is malformed or has no such column; `Some(None)`: NULL.
#[inline]
pub fn value(body: &[u8], at: usize) -> Option<Option<&[u8]>> {
    let (value, _) = locate(body, at)?;
    Some(value)
}

/// How many columns the row has.
pub fn columns(body: &[u8]) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*body.first_chunk::<2>()?)))
}

/// Leaves the first `visible` columns. False: the row is malformed.
pub fn cut(body: &mut Vec<u8>, visible: usize) -> bool {
    let end = match visible.checked_sub(1) {
        None => Some(2),
        Some(last) => locate(body, last).map(|(_, end)| end),
    };
    let (Some(end), Ok(count)) = (end, u16::try_from(visible)) else { return false };
    let Some(head) = body.first_chunk_mut::<2>() else { return false };
    *head = count.to_be_bytes();
    body.truncate(end);
    true
}

/// The value of column `at` and the offset behind it.
fn locate(body: &[u8], at: usize) -> Option<(Option<&[u8]>, usize)> {
    let count = u16::from_be_bytes(*body.first_chunk::<2>()?);
    if at >= usize::from(count) {
        return None;
    }
    let mut offset = 2;
    for column in 0..=at {
        let length = i32::from_be_bytes(*body.get(offset..)?.first_chunk::<4>()?);
        offset += 4;
        let length = usize::try_from(length).ok();
        let value = match length {
            Some(length) => Some(body.get(offset..offset.checked_add(length)?)?),
            None => None,
        };
        offset += length.unwrap_or(0);
        if column == at {
            return Some((value, offset));
        }
    }
    None
}

/// The bytes of column `at`'s value, to be changed in place. `None`: NULL, or no such column.
pub fn value_mut(body: &mut [u8], at: usize) -> Option<&mut [u8]> {
    let (value, end) = locate(body, at)?;
    let start = end.checked_sub(value?.len())?;
    body.get_mut(start..end)
}

/// Appends a DataRow of the first `visible` columns of the row `body`. False: the row is malformed.
pub fn put_visible(out: &mut Vec<u8>, body: &[u8], visible: usize) -> bool {
    let end = match visible.checked_sub(1) {
        None => 2,
        Some(last) => match locate(body, last) {
            Some((_, end)) => end,
            None => return false,
        },
    };
    let Some(values) = body.get(2..end) else { return false };
    out.push(b'D');
    out.extend_from_slice(&((values.len() + 6) as u32).to_be_bytes());
    out.extend_from_slice(&(visible as u16).to_be_bytes());
    out.extend_from_slice(values);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &[u8] = b"\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\x02bc";

    #[test]
    fn values_are_found() {
        assert_eq!(value(ROW, 0), Some(Some(&b"a"[..])));
        assert_eq!(value(ROW, 1), Some(None));
        assert_eq!(value(ROW, 2), Some(Some(&b"bc"[..])));
        assert_eq!(value(ROW, 3), None);
        for cut in 0..ROW.len() {
            assert_eq!(value(ROW.get(..cut).unwrap_or_default(), 2), None);
        }
    }

    #[test]
    fn hidden_columns_are_taken_off() {
        let mut out = Vec::new();
        assert!(put_visible(&mut out, ROW, 2));
        assert_eq!(out, b"D\0\0\0\x0f\0\x02\0\0\0\x01a\xff\xff\xff\xff");
        out.clear();
        assert!(put_visible(&mut out, ROW, 0));
        assert_eq!(out, b"D\0\0\0\x06\0\0");
        assert!(!put_visible(&mut out, ROW, 4));
        for visible in 0..=3 {
            let mut row = ROW.to_vec();
            assert_eq!(columns(&row), Some(3));
            assert!(cut(&mut row, visible));
            out.clear();
            assert!(put_visible(&mut out, ROW, visible));
            assert_eq!(Some(&*row), out.get(5..));
        }
        assert!(!cut(&mut ROW.to_vec(), 4));
    }
}
