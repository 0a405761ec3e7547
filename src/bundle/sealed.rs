//! A bundle's bytes as they are signed.

use super::slots::{self, Slots};
use super::{content_digest, corrupt, read, unseen};
use crate::error::Result;

/// A file, and what its slots hold.
#[derive(Debug)]
pub struct Sealed {
    /// Where Ed25519's signature, the key ids and P-256's signature stand.
    pub slots: Slots,
    /// What they hold, in that order.
    pub values: [String; 3],
    /// The file with `0` in their place: what is signed.
    pub bytes: Vec<u8>,
}

impl Sealed {
    /// Reads the slots; none where the file has none.
    ///
    /// # Errors
    /// `bundle_corrupt` where this is no bundle, or a slot holds what no signature is.
    pub fn read(bytes: &[u8]) -> Result<Option<Sealed>> {
        let Some(slots) = unseen(bytes)?.slots.map(slots::places) else { return Ok(None) };
        let values = slots.each_ref().map(|slot| String::from_utf8_lossy(&bytes[slot.clone()]).into_owned());
        let mut bytes = bytes.to_vec();
        for slot in &slots {
            bytes[slot.clone()].fill(b'0');
        }
        Ok(Some(Sealed { slots, values, bytes }))
    }

    /// Whether nobody signed it.
    pub fn is_unsigned(&self) -> bool {
        self.values.iter().all(|value| value.bytes().all(|c| c == b'0'))
    }

    /// SHA-256 of the content, hex: signing does not change it.
    ///
    /// # Errors
    /// As those of `read`.
    pub fn content_digest(bytes: &[u8]) -> Result<String> {
        Ok(content_digest(bytes, &unseen(bytes)?))
    }
}

/// The bundle with empty slots, if it has none: those that the first writers made. Its content is another one then.
///
/// # Errors
/// `bundle_corrupt` where this is no bundle.
pub fn with_slots(bytes: &[u8]) -> Result<Vec<u8>> {
    let found = unseen(bytes)?;
    if found.slots.is_some() {
        return Ok(bytes.to_vec());
    }
    let (header, data) = read::split(bytes).map_err(corrupt)?;
    let (before, behind) = header.split_at(found.digest.start - super::DIGEST_KEY.len() - 8);
    let mut header = [before, &slots::EMPTY[..], behind.trim_ascii_end()].concat();
    while !header.len().is_multiple_of(8) {
        header.push(b' ');
    }
    let mut bytes = [&(header.len() as u64).to_le_bytes()[..], &header, data].concat();
    let found = unseen(&bytes)?;
    let digest = content_digest(&bytes, &found);
    bytes[found.digest].copy_from_slice(digest.as_bytes());
    Ok(bytes)
}
