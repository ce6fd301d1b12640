//! SipHash with 128 bits of output (Aumasson and Bernstein), for texts that strangers choose.

/// A running hash with `C` rounds a word and `D` at the end.
pub struct SipHash<const C: usize, const D: usize> {
    v: [u64; 4],
    tail: u64,
    /// Bytes taken in all; the low three bits say how many of them are in `tail`.
    length: u64,
}

impl<const C: usize, const D: usize> SipHash<C, D> {
    pub fn new(key: (u64, u64)) -> Self {
        let v = [
            key.0 ^ 0x736f_6d65_7073_6575,
            key.1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            key.0 ^ 0x6c79_6765_6e65_7261,
            key.1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, tail: 0, length: 0 }
    }

    fn rounds(&mut self, rounds: usize) {
        let [mut a, mut b, mut c, mut d] = self.v;
        for _ in 0..rounds {
            a = a.wrapping_add(b);
            b = b.rotate_left(13) ^ a;
            a = a.rotate_left(32);
            c = c.wrapping_add(d);
            d = d.rotate_left(16) ^ c;
            a = a.wrapping_add(d);
            d = d.rotate_left(21) ^ a;
            c = c.wrapping_add(b);
            b = b.rotate_left(17) ^ c;
            c = c.rotate_left(32);
        }
        self.v = [a, b, c, d];
    }

    fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.rounds(C);
        self.v[0] ^= word;
    }

    /// Takes `count` bytes (at most 8), the lowest of `bytes` first; those above must be zero.
    #[inline]
    fn push(&mut self, bytes: u64, count: u32) {
        let have = (self.length & 7) as u32 * 8;
        self.length += u64::from(count);
        self.tail |= bytes << have;
        if have + count * 8 >= 64 {
            let word = self.tail;
            self.word(word);
            self.tail = if have == 0 { 0 } else { bytes >> (64 - have) };
        }
    }

    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.push(u64::from(byte), 1);
    }

    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.push(u64::from_le_bytes(*word), 8);
        }
        let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        if !rest.is_empty() {
            self.push(last, rest.len() as u32);
        }
    }

    pub fn finish(mut self) -> u128 {
        let last = self.length << 56 | self.tail;
        self.word(last);
        self.v[2] ^= 0xee;
        self.rounds(D);
        let low = self.v.iter().fold(0, |all, part| all ^ part);
        self.v[1] ^= 0xdd;
        self.rounds(D);
        let high = self.v.iter().fold(0, |all, part| all ^ part);
        u128::from(high) << 64 | u128::from(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference's `vectors_sip128`, for SipHash-2-4 with the key 00…0f and the texts "", 00, 0001, ….
    #[test]
    fn agrees_with_the_reference() {
        let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let empty = SipHash::<2, 4>::new(key).finish();
        assert_eq!(empty.to_le_bytes(), 0xa381_7f04_ba25_a8e6_6df6_7214_c755_0293_u128.to_be_bytes());
        let mut one = SipHash::<2, 4>::new(key);
        one.byte(0);
        assert_eq!(one.finish().to_le_bytes(), 0xda87_c1d8_6b99_af44_3476_5911_9b22_fc45_u128.to_be_bytes());
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        let text: Vec<u8> = (0..100).collect();
        let mut whole = SipHash::<1, 3>::new((1, 2));
        whole.bytes(&text);
        let whole = whole.finish();
        for cut in 0..text.len() {
            let mut parts = SipHash::<1, 3>::new((1, 2));
            parts.bytes(&text[..cut]);
            for &byte in &text[cut..(cut + 3).min(text.len())] {
                parts.byte(byte);
            }
            parts.bytes(&text[(cut + 3).min(text.len())..]);
            assert_eq!(parts.finish(), whole, "{cut}");
        }
    }
}
