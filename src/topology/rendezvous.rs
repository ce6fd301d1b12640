//! Which shard each bucket should be on: weighted rendezvous hashing with a hash that is specified to the bit.

use crate::sql::siphash::SipHash;

/// SipHash-2-4's key. Never to be changed: maps of existing databases were filled with it.
const KEY: (u64, u64) = (u64::from_le_bytes(*b"pgbraid "), u64::from_le_bytes(*b"buckets "));

/// A map from bucket to shard (its place in `shards`) by names and weights. Each shard gets its weight's part; a shard
/// that comes takes buckets from the others and moves nothing else; the order of `shards` doesn't matter. Empty if no
/// shard has a weight above zero.
pub fn fill(buckets: usize, shards: &[(String, f64)]) -> Vec<u16> {
    (0..buckets as u64).map_while(|bucket| best(bucket, shards)).collect()
}

fn best(bucket: u64, shards: &[(String, f64)]) -> Option<u16> {
    let mut best: Option<(f64, &str, u16)> = None;
    for ((name, weight), index) in shards.iter().zip(0..=u16::MAX) {
        if !(weight.is_finite() && *weight > 0.0) {
            continue;
        }
        let score = -weight / uniform(name, bucket).ln();
        if best.is_none_or(|(top, top_name, _)| score > top || score == top && name.as_str() < top_name) {
            best = Some((score, name, index));
        }
    }
    best.map(|(_, _, index)| index)
}

/// Above 0, below 1: SipHash-2-4 (of 128 bits, the lower half) of the name's bytes and the bucket as eight bytes, lowest
/// first.
fn uniform(name: &str, bucket: u64) -> f64 {
    let mut hash = SipHash::<2, 4>::new(KEY);
    hash.bytes(name.as_bytes());
    hash.bytes(&bucket.to_le_bytes());
    ((hash.finish() as u64 >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(count: usize) -> Vec<(String, f64)> {
        (1..=count).map(|i| (format!("s{i}"), 1.0)).collect()
    }

    fn counts(map: &[u16], shards: usize) -> Vec<usize> {
        (0..shards).map(|shard| map.iter().filter(|&&of| usize::from(of) == shard).count()).collect()
    }

    #[test]
    fn the_map_is_pinned() {
        let map = fill(4096, &shards(4));
        assert_eq!(map[..16], PINNED);
        let all = map.iter().fold(0_u64, |all, &shard| all.wrapping_mul(31).wrapping_add(shard.into()));
        assert_eq!(all, PINNED_ALL);
    }

    const PINNED: [u16; 16] = [3, 1, 3, 2, 1, 1, 3, 3, 2, 2, 2, 0, 2, 3, 3, 2];
    const PINNED_ALL: u64 = 2_881_199_616_363_386_130;

    #[test]
    fn a_new_shard_takes_and_nothing_else_moves() {
        for count in 1..12 {
            let (before, after) = (fill(4096, &shards(count)), fill(4096, &shards(count + 1)));
            let moved = before.iter().zip(&after).filter(|(from, to)| from != to);
            assert!(moved.clone().all(|(_, &to)| usize::from(to) == count));
            assert!(moved.count() > 4096 / (count + 1) * 85 / 100);
        }
    }

    #[test]
    fn shares_follow_weights() {
        for count in 1..=8 {
            for share in counts(&fill(4096, &shards(count)), count) {
                let fair = 4096.0 / count as f64;
                assert!((share as f64 - fair).abs() <= fair * 0.15, "{count} shards: {share} for {fair}");
            }
        }
        let weights = [("a".to_string(), 1.0), ("b".to_string(), 2.0), ("c".to_string(), 5.0)];
        for (share, fair) in counts(&fill(4096, &weights), 3).into_iter().zip([512.0, 1024.0, 2560.0]) {
            assert!((share as f64 - fair).abs() <= fair * 0.15, "{share} for {fair}");
        }
    }

    #[test]
    fn more_weight_only_attracts() {
        let heavy: Vec<_> =
            shards(5).into_iter().map(|(name, _)| (name.clone(), if name == "s3" { 2.0 } else { 1.0 })).collect();
        let (before, after) = (fill(4096, &shards(5)), fill(4096, &heavy));
        assert!(before.iter().zip(&after).all(|(from, to)| from == to || *to == 2));
    }

    #[test]
    fn order_doesnt_matter_and_no_weight_is_no_bucket() {
        let mut turned = shards(5);
        turned.reverse();
        assert!(fill(512, &shards(5)).iter().zip(fill(512, &turned)).all(|(&one, other)| one + other == 4));
        let drained = [("a".to_string(), 0.0), ("b".to_string(), 1.0), ("c".to_string(), f64::NAN)];
        assert_eq!(fill(64, &drained), [1; 64]);
        assert!(fill(64, &drained[..1]).is_empty());
        assert!(fill(64, &[]).is_empty());
    }
}
