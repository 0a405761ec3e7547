//! A log of requests and events, taken session by session as the page would have met them.

use crate::files;
use ranklet::context::{ContextSpec, Event};
use ranklet::features::{Layout, Request, Table};
use ranklet::ranker::{Session, Shown, list_name};
use ranklet::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Requests with where each stands, and the events of every session in order of time.
pub struct Log {
    pub requests: Vec<(String, Request)>,
    events: BTreeMap<Option<String>, Vec<Event>>,
}

impl Log {
    /// Reads both files. Events that name no session belong to the requests that name none, or, where all
    /// requests are of one session, to it.
    pub fn read(requests: &Path, events: Option<&PathBuf>) -> Result<Log> {
        let requests = files::requests(requests)?;
        let mut by_session: BTreeMap<Option<String>, Vec<Event>> = BTreeMap::new();
        let first = requests.first().and_then(|(_, r)| r.session.clone());
        let only = requests.iter().all(|(_, r)| r.session == first).then_some(first).flatten();
        let mut strays = 0usize;
        for event in events.map(|path| files::events(path)).transpose()?.unwrap_or_default() {
            strays += usize::from(
                event.session.is_none() && only.is_none() && requests.iter().all(|(_, r)| r.session.is_some()),
            );
            by_session.entry(event.session.clone().or_else(|| only.clone())).or_default().push(event);
        }
        if strays > 0 {
            anstream::eprintln!("warning: {strays} events name no session and reach no request; give them a `session`");
        }
        for list in by_session.values_mut() {
            // Stable: events of one moment keep the file's order.
            list.sort_by(|a, b| a.time.total_cmp(&b.time));
        }
        Ok(Log { requests, events: by_session })
    }

    /// Calls `each` for every request, in the log's order within a session, with its table and the session as it
    /// stood at its `now`. A candidate's id in an event is looked up in the session's responses up to the event,
    /// the newest first, and failing that in the next ones up to this request.
    pub fn replay(
        &self,
        layout: &Layout,
        spec: &ContextSpec,
        mut each: impl FnMut(usize, Result<(Table, Session)>) -> Result<()>,
    ) -> Result<()> {
        let mut sessions: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (i, (_, request)) in self.requests.iter().enumerate() {
            // Without a session no request is known to follow another.
            match request.session.as_deref() {
                Some(session) => sessions.entry(Some(session)).or_default().push(i),
                None => self.replay_session(&[i], layout, spec, &mut each)?,
            }
        }
        for (_, mut members) in sessions {
            members.sort_by(|&a, &b| self.requests[a].1.now.total_cmp(&self.requests[b].1.now));
            self.replay_session(&members, layout, spec, &mut each)?;
        }
        Ok(())
    }

    fn replay_session(
        &self,
        members: &[usize],
        layout: &Layout,
        spec: &ContextSpec,
        each: &mut impl FnMut(usize, Result<(Table, Session)>) -> Result<()>,
    ) -> Result<()> {
        // Responses so far, with their times and names, the oldest first.
        let mut shown: Vec<(f64, String, Table)> = Vec::new();
        for &i in members {
            let (place, request) = &self.requests[i];
            let table = match Table::from_json(layout, request) {
                Ok(table) => table,
                Err(error) => {
                    each(i, Err(error.at(place)))?;
                    continue;
                }
            };
            let name = list_name(request.list_id.as_deref(), request.decision_id.as_deref(), request.now);
            shown.push((request.now, name, table));
            let mut session = Session::new(spec)?;
            let events = self.events.get(&request.session).map_or(&[][..], Vec::as_slice);
            for event in events.iter().filter(|e| e.time <= request.now) {
                let split = shown.partition_point(|(now, ..)| *now <= event.time);
                let (before, after) = shown.split_at(split);
                let order = before.iter().rev().chain(after);
                let responses: Vec<Shown<'_>> =
                    order.map(|(_, list, table)| Shown { table, list: Some(list) }).collect();
                session.observe_in(event, &responses)?;
            }
            let table = shown.last().map(|(.., table)| table.clone()).unwrap_or_default();
            each(i, Ok((table, session)))?;
        }
        Ok(())
    }

    /// The context that marks come from when no bundle can be opened: the core's own durations.
    pub fn marks(&self, i: usize) -> Result<Session, Error> {
        let request = &self.requests[i].1;
        let mut session = Session::new(&ContextSpec::default())?;
        let table = Table::from_json(&Layout::new(), request).unwrap_or_default();
        let events = self.events.get(&request.session).map_or(&[][..], Vec::as_slice);
        for event in events.iter().filter(|e| e.time <= request.now) {
            session.observe(event, &[&table])?;
        }
        Ok(session)
    }
}
