//! When somebody was there: sessions, each with counters of its own.

use super::bits::Bits;
use super::counters::Counters;
use crate::json::read_struct;
use serde::Serialize;

/// A run of events without a longer pause than the gap.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Span {
    /// First event, ms since the epoch.
    pub start: Bits,
    /// Last event so far.
    pub end: Bits,
    pub events: u32,
    pub counters: Counters,
}

read_struct!(Span { start, end, events, counters });

/// The latest sessions, the newest last. Earlier ones are kept because an event that comes late may belong to one, or join
/// two that seemed apart: so any order of arrival gives the same sessions, as far back as these go.
pub(super) type Spans = Vec<Span>;

/// Sessions kept.
pub(super) const MAX_SPANS: usize = 8;

/// The session of an event at `time`, made or joined if need be; None for one before all that are kept.
pub(super) fn session_at<'a>(spans: &'a mut Spans, time: f64, gap: f64, half_lives: &[f64]) -> Option<&'a mut Span> {
    let mut at = spans.partition_point(|span| span.end.0 + gap < time);
    if spans.get(at).is_none_or(|span| time < span.start.0 - gap) {
        if spans.len() == MAX_SPANS {
            at = at.checked_sub(1)?;
            spans.remove(0);
        }
        spans.insert(at, Span { start: Bits(time), end: Bits(time), ..Span::default() });
    } else if spans.get(at + 1).is_some_and(|next| time >= next.start.0 - gap) {
        let later = spans.remove(at + 1);
        let span = &mut spans[at];
        span.counters.merge(&later.counters, half_lives);
        span.events = span.events.saturating_add(later.events);
        span.end = later.end;
    }
    let span = &mut spans[at];
    if time < span.start.0 {
        span.start = Bits(time);
    }
    if time > span.end.0 {
        span.end = Bits(time);
    }
    span.events = span.events.saturating_add(1);
    Some(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GAP: f64 = 100.0;

    fn spans(times: &[u32]) -> Vec<(f64, f64, u32)> {
        let mut spans = Spans::new();
        for &time in times {
            let time = f64::from(time);
            if let Some(span) = session_at(&mut spans, time, GAP, &[50.0]) {
                span.counters.add(1, time, 1.0, &[50.0]);
            }
        }
        for span in &spans {
            let end = span.end.0;
            let inside = times.iter().map(|&t| f64::from(t)).filter(|t| (span.start.0..=end).contains(t));
            let expected: f64 = inside.map(|t| ranklet_kernels::math::f64::exp2((t - end) / 50.0)).sum();
            assert!((span.counters.value(1, 0, 50.0, end) - expected).abs() < 1e-9);
        }
        spans.iter().map(|s| (s.start.0, s.end.0, s.events)).collect()
    }

    /// By the definition, from all times in order.
    fn naive(times: &[u32]) -> Vec<(f64, f64, u32)> {
        let mut times: Vec<f64> = times.iter().map(|&t| f64::from(t)).collect();
        times.sort_by(f64::total_cmp);
        let mut spans: Vec<(f64, f64, u32)> = Vec::new();
        for time in times {
            match spans.last_mut() {
                Some(last) if time - last.1 <= GAP => (last.1, last.2) = (time, last.2 + 1),
                _ => spans.push((time, time, 1)),
            }
        }
        spans
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_sessions(times in prop::collection::vec(0u32..800, 1..30)) {
            prop_assert_eq!(spans(&times), naive(&times));
        }
    }

    #[test]
    fn an_event_between_two_sessions_joins_them_and_the_oldest_go() {
        assert_eq!(spans(&[0, 200]), [(0.0, 0.0, 1), (200.0, 200.0, 1)]);
        assert_eq!(spans(&[0, 200, 100]), [(0.0, 200.0, 3)]);
        let many: Vec<u32> = (0..12).map(|i| 101 * (i + 1)).chain([0]).collect();
        assert_eq!(spans(&many), naive(&many[4..12]));
    }
}
