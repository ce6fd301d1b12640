//! A byte buffer between two sockets: bytes are read in at its tail and written out from its head.

/// A buffer that is made once, passed from hand to hand by a worker, and grows only when a caller asks for it.
///
/// ```text
///   0 ……… head ……… tail ……… capacity
///         | filled  | spare |
/// ```
#[derive(Debug, Default)]
pub struct Buffer {
    data: Vec<u8>,
    head: usize,
    tail: usize,
}

impl Buffer {
    /// A buffer of `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self { data: vec![0; capacity], head: 0, tail: 0 }
    }

    /// The bytes not yet consumed.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        self.data.get(self.head..self.tail).unwrap_or_default()
    }

    /// The bytes not yet consumed, to be changed in place.
    #[inline]
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.data.get_mut(self.head..self.tail).unwrap_or_default()
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.tail - self.head
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// How many bytes it could hold in all.
    pub fn capacity(&self) -> usize {
        self.data.len()
    }

    /// Free room at the tail. Empty only if the buffer is full: the filled part is moved to the front when the room
    /// behind it has run out.
    #[inline]
    pub fn spare(&mut self) -> &mut [u8] {
        if self.tail == self.data.len() && self.head > 0 {
            self.compact();
        }
        self.data.get_mut(self.tail..).unwrap_or_default()
    }

    /// Says that `count` bytes were put into [`Self::spare`].
    #[inline]
    pub fn advance_tail(&mut self, count: usize) {
        self.tail = (self.tail + count).min(self.data.len());
    }

    /// Consumes `count` bytes at the head.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.head = (self.head + count).min(self.tail);
        if self.head == self.tail {
            self.head = 0;
            self.tail = 0;
        }
    }

    /// Forgets all bytes.
    pub fn clear(&mut self) {
        self.head = 0;
        self.tail = 0;
    }

    /// Sees to it that at least `total` bytes, counted from the head, fit.
    pub fn reserve_total(&mut self, total: usize) {
        if self.head + total > self.data.len() {
            self.compact();
        }
        if total > self.data.len() {
            self.data.resize(total, 0);
        }
    }

    /// Appends bytes, growing as needed: for callers that bound what they append.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        let total = self.len() + bytes.len();
        if self.tail + bytes.len() > self.data.len() {
            // Room at the front is used before it grows; then it grows ahead of need, but not by much.
            let grown = total.max(self.capacity().saturating_mul(2).min(total + (1 << 20)));
            self.reserve_total(if total <= self.capacity() { total } else { grown });
        }
        let end = self.tail + bytes.len();
        if let Some(room) = self.data.get_mut(self.tail..end) {
            room.copy_from_slice(bytes);
            self.tail = end;
        }
    }

    /// Takes `range` (counted from the head) out of the filled part; what lies behind it moves up.
    pub fn remove(&mut self, range: std::ops::Range<usize>) {
        let (start, end) = (self.head + range.start, self.head + range.end);
        if start > end || end > self.tail {
            return;
        }
        if start == self.head {
            self.consume(range.end);
            return;
        }
        self.data.copy_within(end..self.tail, start);
        self.tail -= end - start;
    }

    /// Puts `bytes` in at `at` (counted from the head); what lies behind it moves down.
    pub fn insert(&mut self, at: usize, bytes: &[u8]) {
        if at > self.len() {
            return;
        }
        let old_len = self.len();
        self.extend(bytes);
        let filled = self.filled_mut();
        if let Some(from_at) = filled.get_mut(at..) {
            debug_assert_eq!(from_at.len(), old_len - at + bytes.len());
            from_at.rotate_right(bytes.len());
        }
    }

    fn compact(&mut self) {
        self.data.copy_within(self.head..self.tail, 0);
        self.tail -= self.head;
        self.head = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut buffer = Buffer::new(8);
        buffer.extend(b"abcdef");
        buffer.consume(4);
        assert_eq!(buffer.spare().len(), 2);
        buffer.extend(b"ghij");
        assert_eq!(buffer.filled(), b"efghij");
        assert_eq!(buffer.capacity(), 8, "room at the front is used before it grows");
        buffer.extend(b"klmnop");
        assert_eq!(buffer.filled(), b"efghijklmnop");
    }

    #[test]
    fn takes_out_and_puts_in() {
        let mut buffer = Buffer::new(4);
        buffer.extend(b"0123456789");
        buffer.consume(1);
        buffer.remove(2..4);
        assert_eq!(buffer.filled(), b"1256789");
        buffer.insert(2, b"ab");
        assert_eq!(buffer.filled(), b"12ab56789");
        buffer.insert(9, b"z");
        buffer.insert(0, b"y");
        assert_eq!(buffer.filled(), b"y12ab56789z");
        buffer.remove(0..1);
        buffer.remove(9..10);
        assert_eq!(buffer.filled(), b"12ab56789");
        buffer.remove(5..99);
        assert_eq!(buffer.filled(), b"12ab56789", "a range outside is left alone");
    }
}
