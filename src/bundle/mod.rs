//! The bundle file: a valid safetensors file whose manifest is one sorted-JSON metadata string.
//!
//! Layout of `__metadata__` (string to string): `ranklet` the manifest, [three slots](Slots) of a signature, and `sha256`
//! the digest of the whole file with its own 64 characters and the signature's taken as `0`. So one check tells an
//! altered file, what does not parse behind an intact digest is newer than this runtime, not broken, and signing
//! changes no digest.

mod read;
#[cfg(feature = "signing")]
mod sealed;
#[cfg(feature = "compile")]
pub mod section;
mod slots;
pub mod tensor;
#[cfg(feature = "compile")]
mod write;

use crate::error::{Error, ErrorKind, Result};
use crate::json::{self, Read, read_struct};
use ranklet_kernels::bytes::File;
use read::Container;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::ops::Range;
use tensor::Tensors;

#[cfg(feature = "signing")]
pub use sealed::{Sealed, with_slots};
pub use slots::Slots;
#[cfg(feature = "compile")]
pub use write::{write, write_with};

/// Format version written, and the newest that is read.
pub const FORMAT: u32 = 1;
/// The newest minor version that is read. Written is the oldest that reads a bundle rightly.
pub const MINOR: u32 = 2;
/// Largest bundle that is opened, bytes.
pub const MAX_BYTES: usize = 256 << 20;

/// What precedes the digest in the header. Inside the manifest's string every quote is escaped, so this
/// stands only once.
const DIGEST_KEY: &[u8] = b"\"sha256\":\"";
const DIGEST_LEN: usize = 64;
/// Bytes that are hashed in one call.
const PIECE: usize = 4096;

/// SHA-256 of a bundle's content (with the digest's own characters and the signature's as zeros) and of the whole file.
pub type Hashes = [[u8; 32]; 2];

/// The part of every manifest, of whatever version, that says who can read it.
#[derive(Debug)]
struct Preface {
    format: u32,
    minor: u32,
    /// Names of optional sections that a runtime must know to read this bundle rightly.
    requires: Vec<String>,
}

read_struct!(Preface { format, minor; requires = Vec::new() });

/// A file that was read and found intact.
#[derive(Debug)]
pub struct Bundle {
    /// The manifest: parsed once, as a page's engine has not been optimised yet when it does.
    manifest: Value,
    /// Its JSON text.
    #[cfg(feature = "compile")]
    text: String,
    /// Every tensor.
    pub tensors: Tensors,
    /// SHA-256 of the file, hex.
    pub digest: String,
    /// Length of the file, bytes.
    pub size: usize,
}

fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::BundleCorrupt, format!("the bundle is not whole: {what}; fetch or compile it again"))
}

fn incompatible(what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::BundleIncompatible,
        format!("the bundle needs a newer runtime: {what}; update ranklet, or compile the bundle with this version"),
    )
}

/// SHA-256 in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    take_in(&mut hash, bytes);
    hex(&hash.finalize())
}

/// In pieces: a page's engine first runs a quickly made form of the loop, and puts a fast one in its place only at the
/// next call (53 of 62 ms of a cold start were spent in the slow one, seen on 2026-11-24).
#[inline(never)]
fn take_in(hash: &mut Sha256, bytes: &[u8]) {
    for piece in bytes.chunks(PIECE) {
        hash.update(piece);
    }
}

fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    digest.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

/// The places of a file that no digest of its content sees: its own characters, and its signature's.
struct Unseen {
    /// Where the digest stands.
    digest: Range<usize>,
    /// Where the slots begin, if there are any. They end where the digest's key begins.
    slots: Option<usize>,
}

/// Where the digest and the signatures stand.
fn unseen(bytes: &[u8]) -> Result<Unseen> {
    let end = 8 + read::split(bytes).map_err(corrupt)?.0.len();
    let key = bytes[..end]
        .windows(DIGEST_KEY.len())
        // The digit first: a comparison of slices is a call, for every byte of a manifest.
        .position(|w| w[4] == DIGEST_KEY[4] && w == DIGEST_KEY)
        .ok_or_else(|| corrupt("it carries no digest, so ranklet did not write it"))?;
    let at = key + DIGEST_KEY.len();
    if at + DIGEST_LEN > end {
        return Err(corrupt("its digest is cut"));
    }
    Ok(Unseen { digest: at..at + DIGEST_LEN, slots: slots::find(bytes, key).map_err(corrupt)? })
}

/// SHA-256 of the bytes with the unseen ones as zeros.
fn content_digest(bytes: &[u8], unseen: &Unseen) -> String {
    let mut header = bytes[..unseen.digest.end].to_vec();
    header[unseen.digest.start..].fill(b'0');
    if let Some(start) = unseen.slots {
        header[start..start + slots::EMPTY.len()].copy_from_slice(&slots::EMPTY);
    }
    let mut hash = Sha256::new();
    take_in(&mut hash, &header);
    take_in(&mut hash, &bytes[unseen.digest.end..]);
    hex(&hash.finalize())
}

/// The file's digest, if its content has the one that it states. Hashes that were given are believed only where they
/// agree with the file: a host that hashes wrongly costs time, and no bundle.
#[inline(never)]
fn verified(bytes: &[u8], given: Option<&Hashes>) -> Result<String> {
    let unseen = unseen(bytes)?;
    let stated = &bytes[unseen.digest.clone()];
    if let Some([content, file]) = given
        && hex(content).as_bytes() == stated
    {
        return Ok(hex(file));
    }
    if content_digest(bytes, &unseen).as_bytes() == stated {
        Ok(sha256_hex(bytes))
    } else {
        Err(corrupt("its digest does not match its bytes"))
    }
}

fn limited(bytes: usize) -> Result<()> {
    if bytes > MAX_BYTES {
        return Err(Error::new(ErrorKind::LimitExceeded, format!("the bundle is larger than {MAX_BYTES} bytes")));
    }
    Ok(())
}

/// A copy of a bundle's bytes, which will be used where they lie; of none that is too large.
///
/// # Errors
/// `limit_exceeded`.
pub(crate) fn owned(bytes: &[u8]) -> Result<Box<[u8]>> {
    limited(bytes.len())?;
    Ok(bytes.into())
}

impl Bundle {
    /// Reads a bundle and verifies its digest, layout and version. The manifest's sections are checked by
    /// the rooms that own them. The bytes live as long as any tensor that is used where it lies.
    ///
    /// # Errors
    /// `bundle_corrupt`, `bundle_incompatible` or `limit_exceeded`.
    pub fn read(bytes: &[u8]) -> Result<Bundle> {
        Self::read_hashed(owned(bytes)?, None)
    }

    /// The same with hashes of these very bytes, if the caller has them: a browser computes them many times as fast as
    /// a module that has just been compiled.
    ///
    /// # Errors
    /// As those of `read`.
    #[inline(never)]
    pub fn read_hashed(bytes: Box<[u8]>, hashes: Option<&Hashes>) -> Result<Bundle> {
        limited(bytes.len())?;
        let digest = verified(&bytes, hashes)?;
        let file = File::new(bytes);
        let Container { tensors, manifest } = read::container(&file).map_err(corrupt)?;
        let manifest = manifest.ok_or_else(|| corrupt("it has no manifest"))?;
        let text = manifest;
        let manifest = json::value(&text).map_err(incompatible)?;
        let preface: Preface = json::from_value(&manifest).map_err(incompatible)?;
        if preface.format != FORMAT || preface.minor > MINOR {
            return Err(incompatible(format!(
                "format {}.{}, this runtime reads {FORMAT}.0 to {FORMAT}.{MINOR}",
                preface.format, preface.minor
            )));
        }
        if let Some(unknown) = preface.requires.first() {
            return Err(incompatible(format!("it requires {unknown}")));
        }
        Ok(Bundle {
            manifest,
            #[cfg(feature = "compile")]
            text,
            tensors,
            digest,
            size: file.len(),
        })
    }

    /// The manifest as `T`.
    ///
    /// # Errors
    /// `bundle_incompatible`: the bytes are intact, so what does not parse is unknown to this runtime.
    pub(crate) fn manifest<T: Read>(&self) -> Result<T> {
        json::from_value(&self.manifest).map_err(incompatible)
    }

    /// The manifest's JSON text.
    #[cfg(feature = "compile")]
    pub fn manifest_json(&self) -> &str {
        &self.text
    }
}

/// A text of a safetensors file's metadata.
///
/// # Errors
/// As [`read_tensors`].
#[cfg(feature = "compile")]
pub fn read_metadata(bytes: &[u8], name: &str) -> Result<Option<String>> {
    let invalid = |what| Error::new(ErrorKind::RequestInvalid, format!("not a safetensors file: {what}"));
    let (header, _) = read::split(bytes).map_err(invalid)?;
    let header = std::str::from_utf8(header).map_err(|_| invalid("its header is not UTF-8".to_owned()))?;
    let header = json::value(header).map_err(invalid)?;
    Ok(header["__metadata__"][name].as_str().map(str::to_owned))
}

/// Reads the tensors of any safetensors file (inputs, goldens).
///
/// # Errors
/// `request_invalid` when it is not one, or holds a dtype that no plan takes.
pub fn read_tensors(bytes: &[u8]) -> Result<Tensors> {
    let invalid =
        |what| Error::new(ErrorKind::RequestInvalid, format!("not a safetensors file that ranklet reads: {what}"));
    read::container(&File::new(bytes.into())).map(|c| c.tensors).map_err(invalid)
}
