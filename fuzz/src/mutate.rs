//! A move that knows JSON's numbers: bytes alone seldom make another number that still parses.

use std::sync::OnceLock;

/// Numbers at which things turn.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "2",
    "10",
    "64",
    "255",
    "65536",
    "4294967295",
    "4294967296",
    "-0.5",
    "1e308",
    "-1e300",
    "9007199254740993",
];

/// One number of the text in `data[..size]` becomes another, and the new size is told. None, and nothing done, where there is no number, no
/// room, or the seed wants another move.
pub fn number(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> Option<usize> {
    let seed = seed as usize;
    if seed.is_multiple_of(2) {
        return None;
    }
    let text = &data[..size];
    let digit = |at: usize| text.get(at).is_some_and(|c| c.is_ascii_digit() || b"-+.eE".contains(c));
    // Numbers stand behind a colon, a comma or a bracket; digits in names and strings do not.
    let starts: Vec<usize> = (1..size).filter(|&at| digit(at) && b":,[ ".contains(&text[at - 1])).collect();
    let start = *starts.get((seed / 2) % starts.len().max(1))?;
    let end = (start..size).find(|&at| !digit(at)).unwrap_or(size);
    let to = NUMBERS[(seed / 2 / starts.len()) % NUMBERS.len()].as_bytes();
    let new = size - (end - start) + to.len();
    if new > max_size.min(data.len()) {
        return None;
    }
    data.copy_within(end..size, start + to.len());
    data[start..start + to.len()].copy_from_slice(to);
    Some(new)
}

/// The same, but one move in four starts at one of the target's seeds again: of what a fuzzer keeps of a bundle, most is refused at
/// its first fault, and what is made of it is refused there too.
pub fn number_of_a_seed(target: &str, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> Option<usize> {
    static SEEDS: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    let seeds = SEEDS.get_or_init(|| crate::seeds::of(target));
    // Other bits than those that choose the number.
    let choice = seed.wrapping_mul(0x9e37_79b1) >> 16;
    let (_, from) = &seeds[choice as usize / 4 % seeds.len()];
    if !choice.is_multiple_of(4) || from.len() > max_size.min(data.len()) {
        return number(data, size, max_size, seed);
    }
    data[..from.len()].copy_from_slice(from);
    Some(number(data, from.len(), max_size, seed | 1).unwrap_or(from.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_becomes_another_and_the_rest_stays() {
        let text = br#"{"a1":23,"b":[4,-5.5e3],"c":"6"}"#;
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..2000 {
            let mut data = [text.as_slice(), &[b'#'; 40]].concat();
            let max = data.len();
            let Some(size) = number(&mut data, text.len(), max, seed) else {
                assert!(seed % 2 == 0 && data.starts_with(text));
                continue;
            };
            let value: serde_json::Value = serde_json::from_slice(&data[..size]).expect("JSON as before");
            assert!(value["c"] == "6" && value.get("a1").is_some());
            seen.insert(value.to_string());
        }
        assert_eq!(seen.len(), 3 * NUMBERS.len());
        assert_eq!(number(&mut text.clone(), text.len(), text.len(), 1 + 2 * 3 * 9), None, "no room");
    }

    #[test]
    fn some_moves_start_at_a_seed_again() {
        let (mut fresh, mut own) = (std::collections::BTreeSet::new(), 0);
        for seed in 0..4000 {
            let mut data = [b"[1]".as_slice(), &[0; 5000]].concat();
            let max = data.len();
            match number_of_a_seed("manifest_json", &mut data, 3, max, seed) {
                Some(size) if size > 100 => {
                    let manifest: serde_json::Value = serde_json::from_slice(&data[..size]).expect("JSON as before");
                    fresh.insert(manifest["version"].to_string());
                }
                _ => own += 1,
            }
        }
        assert!(own > 2500 && fresh.len() > 3, "{own} {fresh:?}");
    }
}
