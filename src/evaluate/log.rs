//! A log of records: one JSON document a line, or records in the compact form one after the other.

use super::record::Recorded;
use crate::ranker::form::MAGIC;

/// A log as it lies in a file.
#[derive(Debug)]
pub struct Log<'a> {
    rest: &'a [u8],
    /// Whether it is in the compact form.
    compact: bool,
    number: usize,
}

/// One record of it, or why there is none.
#[derive(Debug)]
pub struct Entry {
    /// `line 7`, or `record 7` of a log in the compact form; counted from 1.
    pub place: String,
    /// What is there.
    pub recorded: Result<Recorded, String>,
}

impl<'a> Log<'a> {
    /// A log in either form, told apart by its first byte.
    pub fn new(bytes: &'a [u8]) -> Log<'a> {
        Log { rest: bytes, compact: bytes.first() == Some(&MAGIC), number: 0 }
    }

    fn next_line(&mut self) -> Option<Entry> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            self.number += 1;
            let end = self.rest.iter().position(|&b| b == b'\n').unwrap_or(self.rest.len());
            let (line, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            if line.trim_ascii().is_empty() {
                continue;
            }
            let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8 text".to_owned());
            let recorded = text.and_then(Recorded::from_json);
            return Some(Entry { place: format!("line {}", self.number), recorded });
        }
    }

    fn next_frame(&mut self) -> Option<Entry> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let before = self.rest.len();
        let recorded = Recorded::read(&mut self.rest);
        // Where even the length cannot be read nobody knows where the next record begins.
        if recorded.is_err() && self.rest.len() == before {
            self.rest = &[];
        }
        Some(Entry { place: format!("record {}", self.number), recorded })
    }
}

impl Iterator for Log<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.compact { self.next_frame() } else { self.next_line() }
    }
}
