//! Writing safetensors files with an order of our own: the same input gives the same bytes, which the
//! common writers do not promise for metadata.

use super::tensor::{Data, Tensors};
use super::{DIGEST_LEN, content_digest, slots, unseen};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Bytes of a vector, at multiples of which weights lie that are used where they do: a load across two lines of a cache is
/// two.
const VECTOR: usize = 16;

#[derive(Serialize)]
struct Entry {
    dtype: &'static str,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// A safetensors file of `tensors`; with `manifest` (JSON text) it is a bundle, digest included, not signed.
pub fn write(tensors: &Tensors, manifest: Option<&str>) -> Vec<u8> {
    let Some(manifest) = manifest else { return write_with(tensors, &[]) };
    // The digest is put in below.
    let (zeros, slots) = ("0".repeat(DIGEST_LEN), slots::unsigned());
    let mut metadata = vec![("ranklet", manifest), ("sha256", zeros.as_str())];
    metadata.extend(slots.iter().map(|(name, zeros)| (*name, zeros.as_str())));
    let mut bytes = write_with(tensors, &metadata);
    let unseen = unseen(&bytes).expect("the digest's key was just written");
    debug_assert!(unseen.slots.is_some(), "the slots stand where they are looked for");
    let digest = content_digest(&bytes, &unseen);
    bytes[unseen.digest].copy_from_slice(digest.as_bytes());
    bytes
}

/// A safetensors file of `tensors` with texts as its metadata.
pub fn write_with(tensors: &Tensors, metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut header: BTreeMap<&str, serde_json::Value> = BTreeMap::new();
    if !metadata.is_empty() {
        // Sorted, whatever order serde_json's own map was built to keep.
        header.insert("__metadata__", json!(metadata.iter().copied().collect::<BTreeMap<_, _>>()));
    }
    // Words that fill vectors first, where each begins a vector's breadth; then in ascending order of alignment, as readers
    // want offsets: 8-byte types first.
    let mut order: Vec<_> = tensors.iter().collect();
    let words = |words: usize| if words.is_multiple_of(VECTOR / 4) { 0 } else { 2 };
    order.sort_by_key(|(_, t)| match &t.data {
        Data::F32(v) => words(v.len()),
        Data::I32(v) => words(v.len()),
        Data::F64(_) | Data::I64(_) => 1,
        Data::F16(_) | Data::BF16(_) => 3,
        Data::U8(_) | Data::I8(_) => 4,
    });
    for (name, tensor) in order {
        let start = data.len();
        let dtype = match &tensor.data {
            Data::F32(v) => put(&mut data, "F32", v, |x| x.to_le_bytes()),
            Data::F64(v) => put(&mut data, "F64", v, |x| x.to_le_bytes()),
            Data::I32(v) => put(&mut data, "I32", v, |x| x.to_le_bytes()),
            Data::I64(v) => put(&mut data, "I64", v, |x| x.to_le_bytes()),
            Data::F16(v) => put(&mut data, "F16", v, |x| x.to_le_bytes()),
            Data::BF16(v) => put(&mut data, "BF16", v, |x| x.to_le_bytes()),
            Data::U8(v) => put(&mut data, "U8", v, |x| x.to_le_bytes()),
            Data::I8(v) => put(&mut data, "I8", v, |x| x.to_le_bytes()),
        };
        let entry = Entry { dtype, shape: tensor.dims.clone(), data_offsets: [start, data.len()] };
        header.insert(name, json!(entry));
    }
    let mut json = serde_json::to_vec(&header).expect("strings and numbers always serialise");
    while !(8 + json.len()).is_multiple_of(VECTOR) {
        json.push(b' ');
    }
    let mut bytes = Vec::with_capacity(8 + json.len() + data.len());
    bytes.extend_from_slice(&(json.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&json);
    bytes.extend_from_slice(&data);
    bytes
}

fn put<T: Copy, const N: usize>(data: &mut Vec<u8>, dtype: &'static str, v: &[T], f: fn(T) -> [u8; N]) -> &'static str {
    for &x in v {
        data.extend_from_slice(&f(x));
    }
    dtype
}

#[cfg(test)]
mod tests {
    use super::super::tensor::Tensor;
    use super::super::{Bundle, read_tensors};
    use super::*;
    use crate::error::ErrorKind;

    fn sample() -> Vec<u8> {
        let mut tensors = Tensors::new();
        tensors.insert("b".into(), Tensor::f32(&[2], vec![1.5, f32::NAN]));
        tensors.insert("a".into(), Tensor::u8(&[3], vec![1, 2, 3]));
        tensors.insert("c".into(), Tensor::i64(&[1], vec![-7]));
        let half = |data| Tensor { dims: vec![3], data };
        tensors.insert("d".into(), half(Data::F16(vec![0x3c00, 0xc000, 0x7e00])));
        tensors.insert("e".into(), half(Data::BF16(vec![0x3f80, 0xc000, 0x7fc0])));
        tensors.insert("f".into(), half(Data::I8(vec![-127, 0, 127])));
        write(&tensors, Some(r#"{"format":1,"minor":0,"note":"\"sha256\":\""}"#))
    }

    #[test]
    fn a_bundle_round_trips_and_is_a_safetensors_file() {
        let bundle = Bundle::read(&sample()).unwrap();
        assert_eq!(bundle.tensors["c"].as_i64(), Some(&[-7][..]));
        assert_eq!(bundle.tensors["a"].as_u8(), Some(&[1, 2, 3][..]));
        for name in ["d", "e"] {
            let decoded = bundle.tensors[name].decoded().unwrap();
            assert!(decoded[..2] == [1.0, -2.0] && decoded[2].is_nan(), "{name}: {decoded:?}");
        }
        assert_eq!(bundle.tensors["f"].as_i8(), Some(&[-127, 0, 127][..]));
        assert_eq!(bundle.tensors["f"].decoded(), None);
        assert_eq!(read_tensors(&sample()).unwrap().len(), 6);
        let bytes = sample();
        let peer = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!((peer.len(), peer.tensor("b").unwrap().shape()), (6, &[2][..]));
        use safetensors::Dtype::{BF16, F16, I8};
        for (name, dtype) in [("d", F16), ("e", BF16), ("f", I8)] {
            assert_eq!(peer.tensor(name).unwrap().dtype(), dtype);
        }
        assert_eq!(sample(), sample());
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_corrupt() {
        let good = sample();
        for cut in 0..good.len() {
            assert_eq!(Bundle::read(&good[..cut]).unwrap_err().kind(), ErrorKind::BundleCorrupt, "cut at {cut}");
        }
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x20;
            assert_eq!(Bundle::read(&bytes).unwrap_err().kind(), ErrorKind::BundleCorrupt, "flip at {at}");
        }
    }

    #[test]
    fn tensors_that_overlap_or_leave_holes_are_refused_as_the_format_says() {
        let file = |offsets: [[usize; 2]; 2], data: usize| {
            let entry = |[a, b]: [usize; 2]| json!({ "dtype": "U8", "shape": [b - a], "data_offsets": [a, b] });
            let header = json!({ "a": entry(offsets[0]), "b": entry(offsets[1]) }).to_string();
            [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![7; data]].concat()
        };
        for (offsets, data, good) in [
            ([[0, 4], [4, 8]], 8, true),
            ([[4, 8], [0, 4]], 8, true),
            ([[0, 8], [0, 8]], 8, false),
            ([[0, 4], [5, 8]], 8, false),
            ([[0, 4], [4, 8]], 9, false),
            ([[0, 4], [4, 9]], 8, false),
        ] {
            let bytes = file(offsets, data);
            assert_eq!(read_tensors(&bytes).is_ok(), good, "{offsets:?} {data}");
            assert_eq!(safetensors::SafeTensors::deserialize(&bytes).is_ok(), good, "{offsets:?} {data}");
        }
    }

    #[test]
    fn newer_formats_and_unknown_requirements_are_incompatible() {
        for manifest in
            [r#"{"format":2,"minor":0}"#, r#"{"format":1,"minor":99}"#, r#"{"format":1,"minor":0,"requires":["x"]}"#]
        {
            let bytes = write(&Tensors::new(), Some(manifest));
            assert_eq!(Bundle::read(&bytes).unwrap_err().kind(), ErrorKind::BundleIncompatible, "{manifest}");
        }
        assert!(Bundle::read(&write(&Tensors::new(), Some(r#"{"format":1,"minor":0,"later":1}"#))).is_ok());
    }
}
