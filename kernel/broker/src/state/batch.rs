//! A record batch as it lies in the log: the producer's bytes, of which only the header is read. The layout is that of
//! message format 2 (Kafka's documentation, "Record Batch").

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, RecordSet, TimestampType,
};

const HEADER: usize = 61;

/// One batch.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Bytes,
    pub(crate) base: i64,
    pub(crate) last: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer: i64,
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
    pub(crate) count: i32,
    /// Whether it counts only once its producer's transaction is committed.
    pub(crate) transactional: bool,
    /// Whether it is a transaction's end, which only the broker writes.
    pub(crate) control: bool,
}

impl Batch {
    /// Cuts the batches out of what a producer sent.
    pub(crate) fn all(mut bytes: Bytes) -> Result<Vec<Batch>, ResponseError> {
        let mut batches = Vec::new();
        while !bytes.is_empty() {
            let whole = int(&bytes, 8)?
                .checked_add(12)
                .and_then(|n| usize::try_from(n).ok())
                .ok_or(ResponseError::CorruptMessage)?;
            if whole < HEADER || whole > bytes.len() {
                return Err(ResponseError::CorruptMessage);
            }
            batches.push(Batch::read(bytes.split_to(whole))?);
        }
        Ok(batches)
    }

    fn read(bytes: Bytes) -> Result<Batch, ResponseError> {
        if bytes[16] != 2 {
            return Err(ResponseError::UnsupportedForMessageFormat);
        }
        if crc32c::crc32c(&bytes[21..]) != int(&bytes, 17)?.cast_unsigned() {
            return Err(ResponseError::CorruptMessage);
        }
        let (delta, count) = (int(&bytes, 23)?, int(&bytes, 57)?);
        if delta < 0 || count < 1 || delta != count - 1 {
            return Err(ResponseError::InvalidRecord);
        }
        Ok(Batch {
            base: 0,
            last: i64::from(delta),
            max_timestamp: long(&bytes, 35)?,
            producer: long(&bytes, 43)?,
            epoch: i16::from_be_bytes([bytes[51], bytes[52]]),
            sequence: int(&bytes, 53)?,
            count,
            transactional: bytes[22] & 0x10 != 0,
            control: bytes[22] & 0x20 != 0,
            bytes,
        })
    }

    /// A transaction's end. The layout is that of Kafka's `ControlRecordType` and `EndTxnMarker`, both of version 0.
    pub(crate) fn marker(producer: i64, epoch: i16, committed: bool, now: i64) -> Batch {
        let record = Record {
            transactional: true,
            control: true,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: producer,
            producer_epoch: epoch,
            timestamp_type: TimestampType::Creation,
            offset: 0,
            sequence: -1,
            timestamp: now,
            key: Some(Bytes::from_static(if committed { &[0, 0, 0, 1] } else { &[0, 0, 0, 0] })),
            value: Some(Bytes::from_static(&[0; 6])),
            headers: Default::default(),
        };
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut bytes, [&record], &options).expect("one plain record can be encoded");
        Batch::read(bytes.freeze()).expect("what was encoded is a batch")
    }

    /// The same batch at its place in a log. Offset and leader epoch are outside what the checksum covers.
    pub(crate) fn at(self, base: i64) -> Batch {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes[..8].copy_from_slice(&base.to_be_bytes());
        bytes[12..16].copy_from_slice(&0i32.to_be_bytes());
        Batch { bytes: bytes.freeze(), base, last: base + i64::from(self.count) - 1, ..self }
    }

    /// The first record whose timestamp is `from` or later: its timestamp and offset.
    pub(crate) fn first_since(&self, from: i64) -> Option<(i64, i64)> {
        let sets: Vec<RecordSet> = RecordBatchDecoder::decode_all(&mut self.bytes.clone()).ok()?;
        let mut records = sets.into_iter().flat_map(|set| set.records);
        records.find(|record| record.timestamp >= from).map(|record| (record.timestamp, record.offset))
    }
}

fn int(bytes: &[u8], at: usize) -> Result<i32, ResponseError> {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(i32::from_be_bytes).ok_or(ResponseError::CorruptMessage)
}

fn long(bytes: &[u8], at: usize) -> Result<i64, ResponseError> {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(i64::from_be_bytes).ok_or(ResponseError::CorruptMessage)
}
