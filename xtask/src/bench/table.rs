//! The document for people: what one call takes, and how many times as long each peer takes.

use super::document::{Document, List, Model, NATIVE, RANKLET, RTEN, TRACT, WEB};
use super::goals;
use super::paint::Paint;
use super::rerank;

/// In the order of the columns.
const PEERS: [&str; 4] = [WEB, RTEN, NATIVE, TRACT];

/// A peer's milliseconds and its ratio.
const CELL: usize = 16;

pub fn table(document: &Document, paint: &Paint) -> String {
    let mut text = String::new();
    for (model, place) in placed(document) {
        text.push_str(&model_table(model, place, paint));
    }
    text.push_str(&costs_table(document, paint));
    if let Some(measured) = &document.rerank {
        text.push_str(&rerank::table(measured, paint));
    }
    text.push_str(&goals::table(&document.goals, paint));
    let machine = &document.machine;
    let version = |name: &str| document.versions.get(name).map_or("?", String::as_str);
    let page = document.page.as_ref().map_or_else(String::new, |page| format!(", Chromium {}", page.version));
    let peers: Vec<String> = PEERS.iter().map(|name| format!("{name} {}", version(name))).collect();
    text.push_str(&format!(
        "{} x{}, Node {}{page}, {}, one thread each, commit {}\n",
        machine.cpu,
        machine.cores,
        version("node"),
        peers.join(", "),
        document.commit,
    ));
    text.push_str(
        &paint.dim("ms are medians of one call; x: how many times as long the peer takes, below 1 it is faster\n"),
    );
    if machine.load_before.max_of(machine.load_after) > 0.5 * machine.cores as f64 {
        text.push_str(&format!(
            "the machine was loaded ({:.1} before, {:.1} after, on {} cores): trust the ratios more than the times\n",
            machine.load_before, machine.load_after, machine.cores,
        ));
    }
    text
}

/// Every model where it was measured.
fn placed(document: &Document) -> impl Iterator<Item = (&Model, &'static str)> {
    let page = document.page.iter().flat_map(|page| &page.models).map(|model| (model, "Chromium"));
    document.models.iter().map(|model| (model, "Node")).chain(page)
}

fn model_table(model: &Model, place: &str, paint: &Paint) -> String {
    // A peer has no column where it took no turns.
    let peers: Vec<&str> =
        PEERS.into_iter().filter(|name| model.lists.iter().any(|list| list.engines.contains_key(*name))).collect();
    let bare = model.lists.iter().any(|list| !list.bare.is_empty());
    let speed = if model.multiply_adds.is_some() { "GFLOP/s" } else { "krow/s" };
    let mut head = format!("{:>15}  {RANKLET:>9}  {speed:>8}", "rows");
    if bare {
        head.push_str(&format!("  {:>6}", "bare"));
    }
    for name in &peers {
        head.push_str(&format!("  {name:>CELL$}"));
    }
    let title = format!("{}, {place}", model.title);
    let mut text = format!("{}\n{}\n", paint.bold(&title), paint.dim(&head));
    for (lists, how) in [(&model.lists, ""), (&model.prepared, "prepared"), (&model.integers, "8 bits")] {
        for list in lists {
            text.push_str(&row(model, list, how, bare, &peers, paint));
        }
    }
    let worst = |lists: &[List]| lists.iter().map(|list| list.difference).fold(0.0, f64::max_of);
    let small = if model.integers.is_empty() {
        String::new()
    } else {
        format!(", with weights of 8 bits by {:.1e}", worst(&model.integers))
    };
    let lists = worst(&model.lists);
    text.push_str(&paint.dim(&format!("{:>15}  outputs differ by {lists:.1e} at most{small}\n", "")));
    for (name, reason) in &model.absent {
        text.push_str(&paint.dim(&format!("{:>15}  {name} is absent: {reason}\n", "")));
    }
    text.push('\n');
    text
}

fn row(model: &Model, list: &List, how: &str, bare: bool, peers: &[&str], paint: &Paint) -> String {
    let ms = |name: &str| list.engines.get(name).map_or_else(|| "–".into(), |times| milliseconds(times.ms));
    // What is left of the work on a prepared list is the engine's affair: there is no speed to speak of.
    let speed = match &model.multiply_adds {
        _ if how == "prepared" => None,
        Some(count) => list.gflops(count),
        None => list.engines.get(RANKLET).map(|own| list.rows as f64 / own.ms),
    };
    let number = |value: Option<f64>, width: usize| {
        value.map_or_else(|| format!("{:>width$}", ""), |value| format!("{value:>width$.1}"))
    };
    let rows = if how.is_empty() { list.rows.to_string() } else { format!("{}, {how}", list.rows) };
    let mut text = format!("{rows:>15}  {:>9}  {}", ms(RANKLET), paint.dim(&number(speed, 8)));
    if bare {
        text.push_str(&format!("  {}", paint.dim(&number(list.bare_gflops(), 6))));
    }
    for name in peers {
        let ratio = paint.ratio(list.ratios.get(*name).map(|ratio| ratio.median), 7);
        text.push_str(&format!("  {:>width$} {ratio}", ms(name), width = CELL - 8));
    }
    text.push('\n');
    text
}

/// Cold start, memory and bytes.
fn costs_table(document: &Document, paint: &Paint) -> String {
    let head = format!("{:<40}  {RANKLET:>10}  {WEB:>15} {:>8}  {RTEN:>10} {:>8}", "", "", "");
    let mut text = format!("{}\n{}\n", paint.bold("cold start, memory, size"), paint.dim(head.trim_end()));
    let mut row = |name: String, of: &dyn Fn(&str) -> Option<f64>, show: &dyn Fn(f64) -> String| {
        let own = of(RANKLET);
        let cell = |value: Option<f64>| value.map_or_else(|| "–".into(), show);
        let ratio = |peer: Option<f64>| paint.ratio(own.zip(peer).map(|(own, peer)| peer / own), 8);
        let (web, rten) = (of(WEB), of(RTEN));
        text.push_str(&format!("{name:<40}  {:>10}  {:>15} {}", cell(own), cell(web), ratio(web)));
        if rten.is_some() {
            text.push_str(&format!("  {:>10} {}", cell(rten), ratio(rten)));
        }
        text.push('\n');
    };
    for (model, place) in placed(document) {
        let ms = |name: &str| model.cold.get(name).map(|cold| cold.ms);
        row(format!("{}, {place}", model.title), &ms, &|ms| format!("{} ms", milliseconds(ms)));
    }
    let memory = |name: &str| {
        let sizes = document.models.iter().filter_map(|model| model.cold.get(name)?.memory);
        sizes.reduce(f64::max_of)
    };
    row("peak of linear memory, 1000 rows".into(), &memory, &|bytes| format!("{:.1} MB", bytes / 1e6));
    let brotli = |name: &str| document.brotli.get(name).map(|bytes| *bytes as f64);
    row("brotli, wasm + JavaScript".into(), &brotli, &|bytes| format!("{:.1} KB", bytes / 1e3));
    for flat in &document.flat {
        let grown = flat.after as i64 - flat.before as i64;
        text.push_str(&format!(
            "linear memory of {RANKLET} before and after {} calls at {} rows: {} and {} bytes, grown by {grown}\n",
            flat.calls, flat.rows, flat.before, flat.after,
        ));
    }
    text.push('\n');
    text
}

/// Three digits, whatever the size.
fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 0.1 => format!("{ms:.4}"),
        ms if ms < 1.0 => format!("{ms:.3}"),
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

/// The larger of two numbers, neither of them NaN.
trait MaxOf {
    fn max_of(self, other: Self) -> Self;
}

impl MaxOf for f64 {
    fn max_of(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::document::tests::document;

    #[test]
    fn a_table_shows_who_was_faster_and_who_is_not_there() {
        let document = document();
        let text = table(&document, &Paint::new(false));
        assert!(text.contains("2.75x"), "{text}");
        assert!(text.contains("32.9    40.0"), "{text}");
        assert!(text.contains("rten is absent: no such operator"), "{text}");
        assert!(text.contains("grown by 65536"), "{text}");
        assert!(text.contains("the machine was loaded"), "{text}");
        assert!(table(&document, &Paint::new(true)).contains("\x1b[32m"));
    }
}
