//! What has been typed and not saved.

use super::bits::Bits;
use super::event::{Given, MAX_TEXT};
use crate::json::read_struct;
use crate::map::Map;
use serde::Serialize;

/// Draft fields.
pub(super) const MAX_FIELDS: usize = 256;

/// What a draft field was changed to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Edited {
    /// When; of two changes of a field the later one holds.
    time: Bits,
    /// Taken back; kept, so that a late edit does not bring it back.
    undone: bool,
    text: Option<String>,
    number: Option<Bits>,
}

read_struct!(Edited { time, undone, text, number });

/// The draft, by field.
pub(super) type Draft = Map<Edited>;

/// What a candidate would put into its draft field.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Suggestion<'a> {
    /// The value as a number (`candidate.features.suggested`).
    pub number: Option<f64>,
    /// The value as a text.
    pub text: Option<&'a str>,
    /// What the field holds on the server (`candidate.features.current`): tells which way a number is to move.
    pub current: Option<f64>,
}

/// How a draft stands to a suggestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stance {
    /// It does not touch it, or goes part of the way.
    Open,
    /// What is suggested is there already, or more of it.
    Satisfied,
    /// It holds something else, or went the other way.
    Contradicted,
}

/// As much of a text as is kept.
pub(super) fn kept(text: &str) -> &str {
    // A cut inside a character gives nothing; one of the four places before it does not lie inside one.
    let end = text.len().min(MAX_TEXT);
    (0..4).find_map(|back| text.get(..end.checked_sub(back)?)).unwrap_or_default()
}

/// Keeps the latest change of a field. Returns whether another field was forgotten for it.
pub(super) fn edit(draft: &mut Draft, field: &str, time: f64, value: &Given<'_>, undone: bool) -> bool {
    if draft.get(field).is_some_and(|e| e.time.0 > time) {
        return false;
    }
    let (text, number) = match *value {
        Given::Text(text) => (Some(kept(text).to_owned()), None),
        Given::Number(x) if x.is_finite() => (None, Some(Bits(x))),
        Given::Flag(b) => (None, Some(Bits(f64::from(u8::from(b))))),
        _ => (None, None),
    };
    let edited = Edited { time: Bits(time), undone, text, number };
    let slot = draft.entry(field, || edited.clone());
    *slot = edited;
    let full = draft.len() > MAX_FIELDS;
    if full {
        draft.remove_least(|e| e.time.0);
    }
    full
}

impl Edited {
    /// Whether the change stands.
    pub fn stands(&self) -> bool {
        !self.undone
    }

    /// How a field so changed stands to what is suggested for it; None when nothing comparable is suggested.
    pub fn stance(&self, suggestion: &Suggestion<'_>) -> Option<Stance> {
        let differs = |same: bool| Some(if same { Stance::Satisfied } else { Stance::Contradicted });
        match (self.number, suggestion.number, &self.text, suggestion.text) {
            (Some(Bits(x)), Some(wanted), ..) => match suggestion.current {
                Some(current) if current != wanted => {
                    // Along the way from what is to what is wanted: 0 at its start, 1 at its end.
                    let way = (x - current) / (wanted - current);
                    Some(if way >= 1.0 {
                        Stance::Satisfied
                    } else if way < 0.0 {
                        Stance::Contradicted
                    } else {
                        Stance::Open
                    })
                }
                _ => differs(x == wanted),
            },
            (_, _, Some(text), Some(wanted)) => differs(text.eq_ignore_ascii_case(wanted)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stance(value: Given<'_>, suggestion: Suggestion<'_>) -> Option<Stance> {
        let mut draft = Draft::default();
        edit(&mut draft, "f", 0.0, &value, false);
        draft.get("f").unwrap().stance(&suggestion)
    }

    #[test]
    fn a_draft_satisfies_contradicts_or_leaves_open() {
        let raise = Suggestion { number: Some(80.0), current: Some(50.0), ..Suggestion::default() };
        let lower = Suggestion { number: Some(20.0), ..raise };
        let bare = Suggestion { current: None, ..raise };
        for (x, to_raise, to_lower, to_be) in [
            (80.0, Stance::Satisfied, Stance::Contradicted, Stance::Satisfied),
            (95.0, Stance::Satisfied, Stance::Contradicted, Stance::Contradicted),
            (60.0, Stance::Open, Stance::Contradicted, Stance::Contradicted),
            (50.0, Stance::Open, Stance::Open, Stance::Contradicted),
            (45.0, Stance::Contradicted, Stance::Open, Stance::Contradicted),
            (10.0, Stance::Contradicted, Stance::Satisfied, Stance::Contradicted),
        ] {
            for (suggestion, expected) in [(raise, to_raise), (lower, to_lower), (bare, to_be)] {
                assert_eq!(stance(Given::Number(x), suggestion), Some(expected), "{x} {suggestion:?}");
            }
        }
        let text = Suggestion { text: Some("max_clicks"), ..Suggestion::default() };
        assert_eq!(stance(Given::Text("Max_Clicks"), text), Some(Stance::Satisfied));
        assert_eq!(stance(Given::Text("manual"), text), Some(Stance::Contradicted));
        assert_eq!(stance(Given::Text("80"), raise), None);
        assert_eq!(stance(Given::Number(1.0), text), None);
        let on = Suggestion { number: Some(1.0), ..Suggestion::default() };
        assert_eq!(stance(Given::Flag(true), on), Some(Stance::Satisfied));
        assert_eq!(stance(Given::Number(7.0), Suggestion { current: Some(1.0), ..on }), Some(Stance::Contradicted));
    }

    #[test]
    fn the_oldest_field_makes_room() {
        let mut draft = Draft::default();
        for i in 0..MAX_FIELDS + 3 {
            assert_eq!(edit(&mut draft, &format!("f{i}"), i as f64, &Given::Nothing, false), i >= MAX_FIELDS);
        }
        assert_eq!(draft.len(), MAX_FIELDS);
        assert!(draft.get("f2").is_none() && draft.get("f3").is_some());
    }
}
