//! Reading the safetensors container. The runtime holds its own reader: the `safetensors` crate, which the
//! tests read every bundle with, brings hash maps and a second JSON form that a page would pay for.

use super::tensor::{Data, Tensor, Tensors};
use crate::json::{self, read_struct};
use ranklet_kernels::bytes::{File, Words};
use ranklet_kernels::sorted::sorted;
use serde_json::Value;

/// Largest header, bytes.
const MAX_HEADER: usize = 64 << 20;

/// A tensor's entry, or, under `__metadata__`, the texts that ranklet writes.
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: Vec<usize>,
    ranklet: Option<String>,
}

read_struct!(Entry { ranklet; dtype = String::new(), shape = Vec::new(), data_offsets = Vec::new() });

/// What a safetensors file holds.
pub(super) struct Container {
    pub tensors: Tensors,
    /// The manifest's text, if it is a bundle.
    pub manifest: Option<String>,
}

/// The header's JSON and the data behind it.
pub(super) fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or("it is shorter than a header")?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER as u64 {
        return Err("its header length is absurd".to_owned());
    }
    rest.split_at_checked(length as usize).ok_or_else(|| "its header is cut".to_owned())
}

/// Reads the whole file, which lives on in the tensors that are used where they lie.
///
/// # Errors
/// What is wrong with it; a type that no plan takes is named.
#[inline(never)]
pub(super) fn container(file: &File) -> Result<Container, String> {
    let (header, data) = split(file)?;
    let behind = file.len() - data.len();
    let header = std::str::from_utf8(header).map_err(|_| "its header is not UTF-8")?;
    let header = json::value(header)?;
    let Value::Object(entries) = &header else { return Err("its header is no object".to_owned()) };
    let mut manifest = None;
    let mut tensors = Tensors::new();
    let mut places = Vec::new();
    let mut total = 0usize;
    for (name, entry) in entries {
        let entry: Entry = json::from_value(entry)?;
        if name == "__metadata__" {
            manifest = entry.ranklet;
            continue;
        }
        let (&[start, end], Some(size)) = (&entry.data_offsets[..], element_size(&entry.dtype)) else {
            return Err(format!(
                "tensor {name} is of type {}; f16, bf16, f32, f64, i8, u8, bool, i32 and i64 are read",
                entry.dtype
            ));
        };
        let count = entry.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let length = count.and_then(|n| n.checked_mul(size));
        let place = data.get(start..end).filter(|place| Some(place.len()) == length);
        total = total.saturating_add(place.map_or(0, <[u8]>::len));
        if total > data.len() {
            return Err("its tensors overlap".to_owned());
        }
        let place = place.ok_or_else(|| format!("tensor {name} lies outside the file or does not fit its shape"))?;
        let elements = match entry.dtype.as_str() {
            "F32" => Data::F32(Words::of(file, behind + start..behind + end)),
            "I32" => Data::I32(Words::of(file, behind + start..behind + end)),
            dtype => elements_of(dtype, place),
        };
        places.push((start, end));
        tensors.insert(name.clone(), Tensor { dims: entry.shape, data: elements });
    }
    // As the format says, tensors fill the data without holes or overlap; so they take no more memory than the file.
    let order = sorted(places.len(), &|a, b| places[a].cmp(&places[b]));
    let end = order.iter().try_fold(0, |at, &i| (places[i].0 == at).then_some(places[i].1));
    if end != Some(data.len()) {
        return Err("its tensors do not fill its data exactly".to_owned());
    }
    Ok(Container { tensors, manifest })
}

fn element_size(dtype: &str) -> Option<usize> {
    match dtype {
        "F64" | "I64" => Some(8),
        "F32" | "I32" => Some(4),
        "F16" | "BF16" => Some(2),
        "U8" | "BOOL" | "I8" => Some(1),
        _ => None,
    }
}

fn elements_of(dtype: &str, bytes: &[u8]) -> Data {
    fn each<const N: usize, T>(bytes: &[u8], f: fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|c| f(*c)).collect()
    }
    match dtype {
        "F64" => Data::F64(each(bytes, f64::from_le_bytes)),
        "I64" => Data::I64(each(bytes, i64::from_le_bytes)),
        "F16" => Data::F16(each(bytes, u16::from_le_bytes)),
        "BF16" => Data::BF16(each(bytes, u16::from_le_bytes)),
        "I8" => Data::I8(each(bytes, i8::from_le_bytes)),
        _ => Data::U8(bytes.to_vec()),
    }
}
