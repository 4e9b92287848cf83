//! Values whose lengths are at the edges of chunks, and chunks that do not belong together.

use tempfile::TempDir;

use super::super::database::{Database, Stay};
use super::*;
use stakeout_core::delivery::DeliveryId;

const KEY: Key = Key::Delivery(DeliveryId(7));
const OTHER: Key = Key::Delivery(DeliveryId(8));
/// Bytes of a value that the first chunk holds.
const FIRST: usize = CHUNK_BYTES_MAX - HEADER_BYTES;

fn database() -> (Database, TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    (Database::open(dir.path(), Stay::Brief).expect("a new database"), dir)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index % 251).expect("below 251")).collect()
}

/// Writes a value without deleting the chunks of an older one.
fn put(database: &Database, key: Key, value: &[u8]) -> usize {
    let mut batch = sled::Batch::default();
    let mut writer = ChunkWriter::new(&mut batch, key);
    writer.write(value).expect("short enough");
    let chunks = writer.finish().expect("short enough");
    database.apply(batch).expect("written");
    chunks
}

fn change(database: &Database, changes: impl FnOnce(&mut sled::Batch)) {
    let mut batch = sled::Batch::default();
    changes(&mut batch);
    database.apply(batch).expect("written");
}

fn stored(database: &Database, key: Key, number: u16) -> Vec<u8> {
    let mut records = database.range(key.chunks_from(number));
    let (_, chunk) = records.next().expect("a chunk").expect("readable");
    chunk.to_vec()
}

fn get(database: &Database) -> Result<Option<Vec<u8>>> {
    let mut reader = ValueReader::new(database.range(KEY.chunks_from(0)));
    reader.next_value()?.map(StoredValue::into_bytes).transpose()
}

fn damage(database: &Database) -> String {
    match get(database) {
        Err(LedgerError::Damaged { reason, .. }) => reason,
        other => panic!("not detected: {:?}", other.map(|_| ())),
    }
}

#[test]
fn values_of_every_length_around_the_edges_round_trip() {
    let (database, _dir) = database();
    for (length, chunks) in [
        (0, 1),
        (1, 1),
        (FIRST - 1, 1),
        (FIRST, 1),
        (FIRST + 1, 2),
        (CHUNK_BYTES_MAX - 1, 2),
        (CHUNK_BYTES_MAX, 2),
        (CHUNK_BYTES_MAX + 1, 2),
        (FIRST + CHUNK_BYTES_MAX, 2),
        (FIRST + CHUNK_BYTES_MAX + 1, 3),
        (FIRST + 2 * CHUNK_BYTES_MAX, 3),
    ] {
        change(&database, |batch| {
            (0..4).for_each(|number| batch.remove(KEY.chunk(number)));
        });
        assert_eq!(put(&database, KEY, &bytes(length)), chunks, "{length} bytes");
        assert_eq!(get(&database).expect("whole"), Some(bytes(length)));
        for record in database.range(KEY.chunks_from(0)).values() {
            assert!(record.expect("readable").len() <= CHUNK_BYTES_MAX);
        }
    }
}

#[test]
fn a_value_is_the_same_however_its_bytes_were_handed_over() {
    let (database, _dir) = database();
    let mut batch = sled::Batch::default();
    let mut writer = ChunkWriter::new(&mut batch, KEY);
    for part in bytes(10_000).chunks(7) {
        writer.write(part).expect("short enough");
    }
    writer.finish().expect("short enough");
    database.apply(batch).expect("written");
    let mut reader = ValueReader::new(database.range(KEY.chunks_from(0)));
    let mut value = reader.next_value().expect("readable").expect("there");
    let (mut whole, mut part) = (Vec::new(), Vec::new());
    assert_eq!(value.bytes_left(), 10_000);
    while value.bytes_left() > 0 {
        value.read(value.bytes_left().min(333), &mut part).expect("there");
        whole.append(&mut part);
    }
    assert!(value.read(1, &mut part).is_err());
    value.finish().expect("whole");
    assert_eq!(whole, bytes(10_000));
}

#[test]
fn a_value_with_too_many_chunks_is_refused() {
    let mut batch = sled::Batch::default();
    let mut writer = ChunkWriter::new(&mut batch, KEY);
    writer.chunks = CHUNKS_MAX - 1;
    writer.write(&bytes(CHUNK_BYTES_MAX)).expect("the last chunk takes the rest of the first");
    let error = writer.write(&bytes(CHUNK_BYTES_MAX)).expect_err("all chunk numbers are used");
    assert!(matches!(error, LedgerError::Refused { .. }), "{error}");
}

#[test]
fn chunks_that_do_not_belong_together_are_detected() {
    let (database, _dir) = database();
    let value = bytes(3 * CHUNK_BYTES_MAX);
    let mut other = value.clone();
    other[5000] ^= 1;

    put(&database, OTHER, &other);
    let foreign = stored(&database, OTHER, 1);
    put(&database, KEY, &value);
    change(&database, |batch| batch.insert(KEY.chunk(1), foreign));
    assert!(damage(&database).ends_with("does not match its checksum"));

    put(&database, KEY, &value);
    change(&database, |batch| batch.remove(KEY.chunk(1)));
    assert!(damage(&database).ends_with("lacks a chunk"));

    put(&database, KEY, &value);
    change(&database, |batch| batch.remove(KEY.chunk(3)));
    assert!(damage(&database).ends_with("lacks a chunk"));

    put(&database, KEY, &value);
    change(&database, |batch| batch.remove(KEY.chunk(0)));
    assert!(damage(&database).ends_with("lacks its first chunk"));

    put(&database, KEY, &value);
    put(&database, KEY, &bytes(CHUNK_BYTES_MAX));
    assert!(damage(&database).ends_with("has too many chunks"));

    put(&database, KEY, &value);
    change(&database, |batch| batch.insert(KEY.chunk(2), vec![0; 4095]));
    assert!(damage(&database).ends_with("has a chunk of the wrong length"));
}

#[test]
fn a_value_under_another_key_is_detected() {
    let (database, _dir) = database();
    put(&database, OTHER, &bytes(9));
    let moved = stored(&database, OTHER, 0);
    change(&database, |batch| batch.insert(KEY.chunk(0), moved));
    assert!(damage(&database).ends_with("does not match its checksum"));
}

#[test]
fn every_flipped_bit_of_a_chunk_is_detected() {
    let (database, _dir) = database();
    put(&database, KEY, &bytes(40));
    let whole = stored(&database, KEY, 0);
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        change(&database, |batch| batch.insert(KEY.chunk(0), flipped));
        damage(&database);
    }
}
