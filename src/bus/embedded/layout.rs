//! What the embedded bus writes: keys, message bodies, queue records, and the partition of a key.
//!
//! Everything lives in one keyspace, so that memory, journal and flushes are bounded whatever the number of queues:
//!
//! | key | value |
//! |---|---|
//! | `m` queue id (u32) sequence (u64) | one message |
//! | `p` | number of partitions (u16) |
//! | `q` queue name | [`QueueRecord`] |
//!
//! Numbers are big-endian, so the keys of one queue are contiguous and in publishing order.

use bytes::Bytes;

/// Key of the number of partitions.
pub(super) const PARTITIONS_KEY: &[u8] = b"p";
/// Prefix of the queue records.
pub(super) const QUEUE_PREFIX: &[u8] = b"q";

/// Key of one message.
pub(super) fn message_key(queue: u32, sequence: u64) -> [u8; 13] {
    let mut key = [b'm'; 13];
    key[1..5].copy_from_slice(&queue.to_be_bytes());
    key[5..].copy_from_slice(&sequence.to_be_bytes());
    key
}

/// The sequence in a key made by [`message_key`].
pub(super) fn sequence_of(key: &[u8]) -> Option<u64> {
    key.get(5..13)?.try_into().ok().map(u64::from_be_bytes)
}

/// Key of a queue's record.
pub(super) fn queue_key(name: &str) -> Vec<u8> {
    [QUEUE_PREFIX, name.as_bytes()].concat()
}

/// What is kept of a queue beside its messages. Written in the same commit as the messages it counts, so it is exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct QueueRecord {
    pub(super) id: u32,
    /// Sequence of the next message published.
    pub(super) next: u64,
    /// No message below it is left: reading starts here instead of wading through what was deleted.
    pub(super) low: u64,
    /// Messages below it may have been handed out before.
    pub(super) handed_out: u64,
    /// Messages stored.
    pub(super) count: u64,
}

impl QueueRecord {
    pub(super) fn encode(&self) -> [u8; 36] {
        let mut bytes = [0; 36];
        bytes[..4].copy_from_slice(&self.id.to_be_bytes());
        for (slot, number) in bytes[4..].chunks_exact_mut(8).zip([self.next, self.low, self.handed_out, self.count]) {
            slot.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// `None` when the bytes are not a record: the folder is damaged or of another program.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        if bytes.len() != 36 {
            return None;
        }
        let id = u32::from_be_bytes(bytes[..4].try_into().ok()?);
        Some(Self { id, next: number(4)?, low: number(12)?, handed_out: number(20)?, count: number(28)? })
    }
}

/// One stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) id: String,
    /// For a dead letter the queue it comes from; otherwise empty.
    pub(super) origin: String,
    pub(super) body: Bytes,
}

/// The stored form: both texts preceded by their length (u16), then the body. `None` when a text is longer than 65,535 bytes.
pub(super) fn encode_message(id: &str, origin: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4 + id.len() + origin.len() + body.len());
    for text in [id, origin] {
        bytes.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(body);
    Some(bytes)
}

/// `None` when the bytes are not a message.
pub(super) fn decode_message(bytes: &[u8]) -> Option<Stored> {
    let (id, rest) = decode_text(bytes)?;
    let (origin, body) = decode_text(rest)?;
    Some(Stored { id, origin, body: Bytes::copy_from_slice(body) })
}

fn decode_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

/// The partition of a key: FNV-1a (64 bits) modulo the number of partitions.
///
/// It must be the same in every release: a key that moved would lose its order. Zero partitions have no answer.
pub(super) fn partition_of(key: &str, partitions: u16) -> Option<u16> {
    let hash = fnv1a(key.as_bytes());
    u16::try_from(hash.checked_rem(u64::from(partitions))?).ok()
}

/// FNV-1a, 64 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_has_the_published_vectors() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn partitions_are_used_evenly_and_zero_has_no_answer() {
        let mut counts = [0_u32; 8];
        for number in 0..8_000 {
            counts[usize::from(partition_of(&format!("case:{number}"), 8).unwrap())] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
        assert_eq!(partition_of("case:1", 0), None);
    }

    #[test]
    fn keys_sort_like_sequences() {
        assert!(message_key(1, 255) < message_key(1, 256));
        assert!(message_key(1, u64::MAX) < message_key(2, 0));
        assert_eq!(sequence_of(&message_key(7, 99)), Some(99));
    }

    #[test]
    fn records_and_messages_survive_the_trip() {
        let record = QueueRecord { id: 3, next: 10, low: 4, handed_out: 8, count: 6 };
        assert_eq!(QueueRecord::decode(&record.encode()), Some(record));
        assert_eq!(QueueRecord::decode(b"short"), None);

        let bytes = encode_message("id-1", "records.0", b"{}").unwrap();
        let message = Stored { id: "id-1".into(), origin: "records.0".into(), body: Bytes::from_static(b"{}") };
        assert_eq!(decode_message(&bytes), Some(message));
        assert_eq!(decode_message(&bytes[..3]), None);
        assert_eq!(encode_message(&"x".repeat(70_000), "", b""), None);
    }
}
