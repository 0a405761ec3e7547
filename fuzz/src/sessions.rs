//! Requests and events.

use crate::bundles::{base, with_manifest};
use crate::planted;
use crate::seeds::folder;
use ranklet::context::Event;
use ranklet::features::Request;
use ranklet::ranker::{Options, Ranker, Ranking};
use std::cell::RefCell;
use std::fs;

/// Three candidates of the ranker in `bases/`.
pub const REQUEST: &str = r#"{"now":1800000000000,"surface":"assistant","candidates":[{"id":"a","type":"raise_budget","features":{"uplift":1.5}},{"id":"b","features":{"budget":3,"related":["a"]}},{"id":"c","type":"fix_tag"}],"facts":{"account":{"budget":2,"country":"NL","created":1700000000000}}}"#;

thread_local! {
    // It is the same after each input: what a session knows lies in the session.
    static PLAIN: RefCell<Ranker> = RefCell::new(Ranker::open(&base("compat")).expect("a bundle that opens"));
    /// With every part of a policy.
    static HELD: RefCell<Ranker> = RefCell::new({
        let manifest = fs::read_to_string(folder("manifest_json").join("with_policy.json")).expect("a seed");
        Ranker::open(&with_manifest(&manifest)).expect("a seed that opens")
    });
}

fn each(mut run: impl FnMut(&mut Ranker)) {
    PLAIN.with_borrow_mut(&mut run);
    HELD.with_borrow_mut(&mut run);
}

/// One request's JSON.
pub fn request_json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    each(|ranker| rank(ranker, text));
}

/// Prepares and ranks twice; whatever was asked, each candidate is there once, and the second time is the first.
pub fn rank(ranker: &mut Ranker, text: &str) {
    let Ok(request) = Request::from_json(text) else { return };
    let (Ok(mut list), Ok(session)) = (ranker.prepare_json(&request), ranker.session()) else { return };
    planted(|| request.now < 0.0 && list.len() > 1);
    // Cached equals cold, and the same decision is drawn alike.
    let options = Options { now: request.now, decision_id: Some("one".to_owned()), ..Options::default() };
    let [first, second] = [(); 2].map(|()| {
        let ranking = ranker.rerank(&session, &mut list, &options);
        permutation(&ranking, list.len());
        ranking.entries.iter().map(|e| (e.row, e.score.to_bits(), e.utility.to_bits())).collect::<Vec<_>>()
    });
    assert_eq!(first, second);
}

fn permutation(ranking: &Ranking, candidates: usize) {
    let mut rows: Vec<usize> = ranking.entries.iter().map(|entry| entry.row).collect();
    rows.sort_unstable();
    assert!(rows.into_iter().eq(0..candidates), "a candidate is lost or doubled");
}

/// Events, one a line, before a re-rank; a line of `snapshot` restores a new session from the old one's, and any other text
/// is tried as a snapshot.
pub fn event_stream(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    each(|ranker| {
        let request = Request::from_json(REQUEST).expect("a request");
        let mut list = ranker.prepare_json(&request).expect("a list");
        let mut session = ranker.session().expect("a session");
        for line in text.lines() {
            if line == "snapshot" {
                let snapshot = session.context().snapshot();
                let mut restored = ranker.session().expect("a session");
                restored.context_mut().restore(&snapshot).expect("its own snapshot");
                assert_eq!(restored.context().snapshot(), snapshot);
                session = restored;
            } else if let Ok(event) = Event::from_json(line) {
                planted(|| event.time < 0.0);
                let _ = session.observe(&event, &[list.table()]);
            } else {
                let before = session.context().snapshot();
                if session.context_mut().restore(line).is_err() {
                    assert_eq!(session.context().snapshot(), before, "a snapshot that was refused changed something");
                }
            }
        }
        let ranking = ranker.rerank(&session, &mut list, &Options { now: request.now, ..Options::default() });
        permutation(&ranking, list.len());
    });
}
