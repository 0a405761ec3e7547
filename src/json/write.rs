//! Pieces of JSON text, appended. Writing whole values is serde's; these are for where it would be most of a module.

/// Appends a whole number, digit by digit: every item of every list comes here, before a page's engine has optimised the
/// standard library's formatting.
pub(crate) fn push_digits(number: u64, to: &mut String) {
    let mut unit = 1;
    while number / unit >= 10 {
        unit *= 10;
    }
    while unit > 0 {
        to.push(char::from(b'0' + (number / unit % 10) as u8));
        unit /= 10;
    }
}

/// Appends a text as JSON has it (RFC 8259, section 7).
#[cfg(any(test, all(target_arch = "wasm32", not(feature = "ranking"))))]
pub(crate) fn quote(text: &str, to: &mut String) {
    to.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => to.push('\\'),
            '\0'..' ' => {
                // Two digits are all that a control character has.
                to.push_str("\\u00");
                for digit in [character as u8 >> 4, character as u8 & 15] {
                    to.push(char::from(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }));
                }
                continue;
            }
            _ => {}
        }
        to.push(character);
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_reads_back(text in prop_oneof![".*", "[\0-\u{7f}\u{e9}\u{2028}\u{1f600}]*"]) {
            let mut json = String::from("[");
            quote(&text, &mut json);
            json.push(']');
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
        }

        #[test]
        fn every_whole_number_reads_back(number: u64, few in 0u64..200) {
            for number in [number, few, u64::MAX, 10_u64.pow(19)] {
                let mut text = String::new();
                push_digits(number, &mut text);
                prop_assert_eq!(text, number.to_string());
            }
        }
    }
}
