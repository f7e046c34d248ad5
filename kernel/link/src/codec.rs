//! Frames as bytes: a version, the number of buffers, the lengths of header and buffers (little-endian), the header as
//! JSON, the buffers. Functions of readers and writers; no sockets here.

use std::io::{Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Framed, LinkError};

/// The version that both sides must speak.
pub const VERSION: u8 = 2;
/// Bytes a frame may have in all.
pub const MAX_FRAME: u64 = 256 << 20;
/// Buffers a frame may have.
const MAX_BUFFERS: u32 = 4096;

/// Writes one frame.
///
/// # Errors
/// When the writer fails, or the frame is above [`MAX_FRAME`].
pub fn write_frame<T: Serialize>(writer: &mut impl Write, framed: &Framed<T>) -> Result<(), LinkError> {
    let header =
        serde_json::to_vec(&framed.frame).map_err(|error| LinkError::Malformed { detail: error.to_string() })?;
    let lengths: Vec<u64> =
        std::iter::once(header.len()).chain(framed.buffers.iter().map(Vec::len)).map(|n| n as u64).collect();
    check_size(lengths.iter().sum())?;
    let count = u32::try_from(framed.buffers.len()).unwrap_or(u32::MAX);
    check_count(count)?;
    let mut head = vec![VERSION];
    head.extend(count.to_le_bytes());
    head.extend(lengths.iter().flat_map(|n| n.to_le_bytes()));
    writer.write_all(&head)?;
    writer.write_all(&header)?;
    for buffer in &framed.buffers {
        writer.write_all(buffer)?;
    }
    writer.flush()?;
    Ok(())
}

/// Reads one frame; `None` when the other side has closed between two.
///
/// # Errors
/// When the reader fails, or what it gives is no frame of this version.
pub fn read_frame<T: DeserializeOwned>(reader: &mut impl Read) -> Result<Option<Framed<T>>, LinkError> {
    let mut version = [0u8];
    if reader.read(&mut version)? == 0 {
        return Ok(None);
    }
    if version[0] != VERSION {
        return Err(LinkError::Version { found: version[0] });
    }
    let mut count = [0u8; 4];
    reader.read_exact(&mut count)?;
    let count = u32::from_le_bytes(count);
    check_count(count)?;
    let mut lengths = Vec::with_capacity(count as usize + 1);
    for _ in 0..=count {
        let mut length = [0u8; 8];
        reader.read_exact(&mut length)?;
        lengths.push(u64::from_le_bytes(length));
    }
    check_size(lengths.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)))?;
    let mut parts = Vec::with_capacity(lengths.len());
    for length in lengths {
        let mut part = vec![0; usize::try_from(length).unwrap_or(0)];
        reader.read_exact(&mut part)?;
        parts.push(part);
    }
    let header = parts.remove(0);
    let frame = serde_json::from_slice(&header).map_err(|error| LinkError::Malformed { detail: error.to_string() })?;
    Ok(Some(Framed { frame, buffers: parts }))
}

fn check_size(size: u64) -> Result<(), LinkError> {
    if size > MAX_FRAME { Err(LinkError::TooLarge { size }) } else { Ok(()) }
}

fn check_count(count: u32) -> Result<(), LinkError> {
    if count > MAX_BUFFERS { Err(LinkError::Malformed { detail: format!("{count} buffers") }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{ToCell, ToKernel};

    #[test]
    fn a_frame_comes_back_as_it_went() {
        let framed = Framed {
            frame: ToKernel::CommMessage { id: "c".into(), data: serde_json::json!({"rows": 3}) },
            buffers: vec![vec![1, 2, 3], vec![], vec![0; 100_000]],
        };
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &framed).unwrap();
        write_frame(&mut bytes, &ToKernel::Completed.into()).unwrap();
        let mut reader = bytes.as_slice();
        assert_eq!(read_frame(&mut reader).unwrap(), Some(framed));
        assert_eq!(read_frame(&mut reader).unwrap(), Some(ToKernel::Completed.into()));
        assert_eq!(read_frame::<ToKernel>(&mut reader).unwrap(), None);
    }

    #[test]
    fn another_version_is_named() {
        let error = read_frame::<ToCell>(&mut [9u8, 0, 0].as_slice()).unwrap_err();
        assert!(matches!(error, LinkError::Version { found: 9 }));
    }

    #[test]
    fn absurd_lengths_are_refused_before_memory_is_taken() {
        let mut bytes = vec![VERSION, 0, 0, 0, 0];
        bytes.extend(u64::MAX.to_le_bytes());
        assert!(matches!(read_frame::<ToCell>(&mut bytes.as_slice()).unwrap_err(), LinkError::TooLarge { .. }));
        let bytes = [VERSION, 255, 255, 255, 255];
        assert!(matches!(read_frame::<ToCell>(&mut bytes.as_slice()).unwrap_err(), LinkError::Malformed { .. }));
    }

    #[test]
    fn a_frame_cut_short_is_an_error() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &ToCell::Interrupt.into()).unwrap();
        bytes.pop();
        assert!(matches!(read_frame::<ToCell>(&mut bytes.as_slice()).unwrap_err(), LinkError::Io { .. }));
    }
}
