//! PostgreSQL's hash of bytes and words (`src/common/hashfn.c`, Bob Jenkins' lookup3) with 64 bits of output and seed 0,
//! as a little-endian server computes it.

#[derive(Clone, Copy)]
struct State {
    a: u32,
    b: u32,
    c: u32,
}

impl State {
    #[inline]
    fn new(length: u32) -> Self {
        let start = 0x9e37_79b9_u32.wrapping_add(length).wrapping_add(3_923_095);
        Self { a: start, b: start, c: start }
    }

    #[inline]
    fn add(&mut self, a: u32, b: u32, c: u32) {
        self.a = self.a.wrapping_add(a);
        self.b = self.b.wrapping_add(b);
        self.c = self.c.wrapping_add(c);
    }

    #[inline]
    fn mix(&mut self) {
        let Self { mut a, mut b, mut c } = *self;
        a = a.wrapping_sub(c) ^ c.rotate_left(4);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(6);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(8);
        b = b.wrapping_add(a);
        a = a.wrapping_sub(c) ^ c.rotate_left(16);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(19);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(4);
        b = b.wrapping_add(a);
        *self = Self { a, b, c };
    }

    #[inline]
    fn finish(self) -> u64 {
        let Self { mut a, mut b, mut c } = self;
        c = (c ^ b).wrapping_sub(b.rotate_left(14));
        a = (a ^ c).wrapping_sub(c.rotate_left(11));
        b = (b ^ a).wrapping_sub(a.rotate_left(25));
        c = (c ^ b).wrapping_sub(b.rotate_left(16));
        a = (a ^ c).wrapping_sub(c.rotate_left(4));
        b = (b ^ a).wrapping_sub(a.rotate_left(14));
        c = (c ^ b).wrapping_sub(b.rotate_left(24));
        u64::from(b) << 32 | u64::from(c)
    }
}

/// `hash_bytes_extended(bytes, length, 0)`.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut state = State::new(bytes.len() as u32);
    let (blocks, rest) = bytes.as_chunks::<12>();
    for block in blocks {
        let [a, b, c] = words(block);
        state.add(a, b, c);
        state.mix();
    }
    let mut tail = [0; 12];
    for (to, from) in tail.iter_mut().zip(rest) {
        *to = *from;
    }
    let [a, b, c] = words(&tail);
    // The lowest byte of the last word is left to the length.
    state.add(a, b, c << 8);
    state.finish()
}

/// `hash_bytes_uint32_extended(word, 0)`.
#[inline]
pub fn hash_word(word: u32) -> u64 {
    let mut state = State::new(4);
    state.add(word, 0, 0);
    state.finish()
}

/// `hashint8extended(value, 0)`, which is that of int2 and int4 too.
#[inline]
pub fn hash_int(value: i64) -> u64 {
    let low = value as u32;
    let high = (value >> 32) as u32;
    hash_word(low ^ if value >= 0 { high } else { !high })
}

#[inline]
fn words(block: &[u8; 12]) -> [u32; 3] {
    let &[a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = block;
    [u32::from_le_bytes([a0, a1, a2, a3]), u32::from_le_bytes([b0, b1, b2, b3]), u32::from_le_bytes([c0, c1, c2, c3])]
}
