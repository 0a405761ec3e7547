//! A bundle's bytes, and its manifest.

use crate::{planted, sessions};
use ranklet::bundle::{Bundle, sha256_hex};
use ranklet::ranker::Ranker;
use serde_json::Value;
use std::sync::OnceLock;

const DIGEST: &str = "\"sha256\":\"";
/// Keys and widths of what a digest reads as zeros beside itself.
const SLOTS: [(&str, usize); 3] = [
    ("\"ranklet.signature.ed25519\":\"", 128),
    ("\"ranklet.signature.keys\":\"", 33),
    ("\"ranklet.signature.p256\":\"", 128),
];

/// Header, a zero byte, data: the length is put before them and the digest made right.
pub fn bundle_bytes(data: &[u8]) {
    // As it is, too: whatever the bytes are.
    let _ = Bundle::read(data);
    let (header, weights) = parts(data);
    open(&whole(header, weights));
}

fn parts(data: &[u8]) -> (&[u8], &[u8]) {
    let cut = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    (&data[..cut], data.get(cut + 1..).unwrap_or_default())
}

/// Whether header and manifest parse. A broken text is tried, but no others are made of it: one in a thousand would be whole.
pub fn header_parses(data: &[u8]) -> bool {
    let header = serde_json::from_slice::<Value>(parts(data).0);
    header.is_ok_and(|header| header["__metadata__"]["ranklet"].as_str().is_none_or(|text| parses(text.as_bytes())))
}

/// Whether a text parses.
pub fn parses(text: &[u8]) -> bool {
    serde_json::from_slice::<Value>(text).is_ok()
}

/// The manifest of a bundle whose tensors are there.
pub fn manifest_json(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        open(&with_manifest(text));
    }
}

/// The tensors of the ranker in `bases/` under another manifest.
pub fn with_manifest(text: &str) -> Vec<u8> {
    let (tensors, weights) = rest();
    let zeros = "0".repeat(64);
    let manifest = Value::from(text);
    let header = format!(r#"{{"__metadata__":{{"ranklet":{manifest},"sha256":"{zeros}"}},{tensors}"#);
    whole(header.as_bytes(), weights)
}

fn open(bytes: &[u8]) {
    planted(|| Bundle::read(bytes).is_ok_and(|bundle| bundle.tensors.values().any(|tensor| tensor.dims.len() > 2)));
    if let Ok(mut ranker) = Ranker::open(bytes) {
        planted(|| ranker.manifest().version > 9);
        if ranker.ranks() {
            sessions::rank(&mut ranker, sessions::REQUEST);
        }
    }
}

/// A file with its length and digest as they should be.
pub fn whole(header: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = [&(header.len() as u64).to_le_bytes()[..], header, data].concat();
    let end = 8 + header.len();
    // The fuzzer notes each comparison of two slices, so there are few: every key ends in `":"`, and little else does.
    let find = |bytes: &[u8], key: &str| {
        let key = key.as_bytes();
        let ends = |w: &&[u8]| w[key.len() - 2] == b':' && w[key.len() - 3] == b'"' && w[0] == b'"';
        bytes[..end].windows(key.len()).enumerate().filter(|(_, w)| ends(w)).find(|(_, w)| *w == key).map(|(at, _)| at)
    };
    let Some(at) = find(&bytes, DIGEST).map(|at| at + DIGEST.len()).filter(|at| at + 64 <= end) else { return bytes };
    let mut zeroed = bytes.clone();
    zeroed[at..at + 64].fill(b'0');
    for (key, width) in SLOTS {
        // A slot counts where the digest's key follows the last one; elsewhere the engine sees none, and neither digest fits.
        if let Some(at) = find(&bytes, key).map(|at| at + key.len()).filter(|at| at + width <= end) {
            zeroed[at..at + width].fill(b'0');
        }
    }
    bytes[at..at + 64].copy_from_slice(sha256_hex(&zeroed).as_bytes());
    bytes
}

/// A bundle in the repository, read as it is.
pub fn base(name: &str) -> Vec<u8> {
    let path = format!("{}/bases/{name}.ranklet", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Header and data of a bundle.
pub fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    bytes[8..].split_at(length)
}

/// What stands behind the metadata in the ranker's header, and its data.
fn rest() -> &'static (String, Vec<u8>) {
    static REST: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    REST.get_or_init(|| {
        let bytes = base("compat");
        let (header, data) = split(&bytes);
        let mut header: Value = serde_json::from_slice(header).expect("a header");
        header.as_object_mut().expect("an object").remove("__metadata__");
        let tensors = header.to_string();
        (tensors[1..].to_owned(), data.to_vec())
    })
}
