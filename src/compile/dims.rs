//! Sizes of symbols, as a command line gives them.

use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// `NAME=VALUE` for each symbol of an input's shape that is not the number of candidates.
///
/// # Errors
/// `spec_invalid` for one that is not such, or a size below 1.
pub fn read_dims<'a>(given: impl IntoIterator<Item = &'a str>) -> Result<BTreeMap<String, i64>> {
    given
        .into_iter()
        .map(|one| {
            let pair = one.split_once('=').filter(|(name, _)| !name.is_empty());
            let size = pair.and_then(|(_, size)| size.parse().ok()).filter(|&size: &i64| size > 0);
            match (pair, size) {
                (Some((name, _)), Some(size)) => Ok((name.to_owned(), size)),
                _ => {
                    let message = format!("dimension `{one}`: give NAME=VALUE with a whole number above 0");
                    Err(Error::new(ErrorKind::SpecInvalid, message))
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes() {
        assert_eq!(read_dims(["seq=32", "b=2"]).unwrap(), BTreeMap::from([("seq".into(), 32), ("b".into(), 2)]));
        for wrong in ["seq", "=3", "seq=0", "seq=-1", "seq=x", ""] {
            assert_eq!(read_dims([wrong]).unwrap_err().kind(), ErrorKind::SpecInvalid, "{wrong}");
        }
    }
}
