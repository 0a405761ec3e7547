//! The module's last step: the same code in the order and numbering that brotli makes least of.
//!
//! Functions stand beside those they share most runs of bytes with, so that what repeats is near; the types of locals come
//! in one order everywhere, so that a number more often means the same; and no load or store promises an alignment, which
//! is a hint that engines pass over, and a byte that says nothing once it is always 0. Of 122,143 brotli bytes these made
//! 119,920 (2026-11-24).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::module::{
    CODE, ELEMENT, END, EXPORT, FUNCTION, GLOBAL, I32_CONST, IMPORT, REF_FUNC, Reader, START, TYPE, imported_functions,
    sections, write,
};

/// Bytes of a run that two functions may share; 3 to 7 were tried.
const RUN: usize = 4;
/// What a run in a function that stands already is worth, as a share of what it was worth one function earlier; and a size
/// that every function has beside its own. Which is best changes with the code: all are tried (200 bytes). These were among the best
/// ten of 112 for one of the modules; of all 112 the best are no better (2026-12-01).
const TRIED: [(f64, f64); 8] =
    [(0.0, 20.0), (0.3, 60.0), (0.4, 20.0), (0.5, 10.0), (0.55, 200.0), (0.65, 5.0), (0.65, 20.0), (0.7, 100.0)];
/// A run in more functions says nothing of any two.
const COMMON: usize = 300;

/// A function's body.
struct Function {
    /// Index of its type.
    of: u32,
    parameters: usize,
    /// Types of the other locals.
    locals: Vec<u8>,
    code: Vec<Piece>,
}

/// What code is made of, as far as it is numbered here.
enum Piece {
    Bytes(Vec<u8>),
    Local(u32),
    Function(u32),
}

/// The module in that order; of several orders the one that `cost` is least of.
pub fn arrange(module: &[u8], cost: impl Fn(&[u8]) -> Result<usize, String>) -> Result<Vec<u8>, String> {
    let mut best: Option<(usize, Vec<u8>)> = None;
    for tried in TRIED {
        let arranged = arranged(module, tried)?;
        let cost = cost(&arranged)?;
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, arranged));
        }
    }
    best.map(|(_, best)| best).ok_or_else(|| "no order was tried".into())
}

fn arranged(module: &[u8], tried: (f64, f64)) -> Result<Vec<u8>, String> {
    let sections = sections(module)?;
    let content = |id: u8| sections.iter().find(|(found, _)| *found == id).map_or(&[][..], |(_, content)| content);
    let parameters = parameters(content(TYPE))?;
    let imported = imported_functions(content(IMPORT))?;
    let functions = functions(content(CODE), content(FUNCTION), &parameters)?;
    let order = order(&functions, tried);
    let mut place = vec![0; functions.len()];
    for (at, &function) in order.iter().enumerate() {
        place[function] = at as u32;
    }
    let renamed = |index: u32| match index.checked_sub(imported) {
        None => Ok(index),
        Some(own) => place.get(own as usize).map(|at| at + imported).ok_or("a function is not there"),
    };
    let mut out = module[..8].to_vec();
    for (id, content) in &sections {
        let mut made = Vec::new();
        match *id {
            FUNCTION | CODE => {
                write(&mut made, functions.len() as u32);
                for &function in &order {
                    let function = &functions[function];
                    if *id == FUNCTION { write(&mut made, function.of) } else { function.write(&mut made, &renamed)? }
                }
            }
            EXPORT => exports(content, &mut made, &renamed)?,
            START => write(&mut made, renamed(Reader(content).number()?)?),
            ELEMENT => elements(content, &mut made, &renamed)?,
            // A byte of a number would do no harm but to this build.
            GLOBAL if content.contains(&REF_FUNC) => return Err("a global may hold a function".into()),
            _ => made.extend_from_slice(content),
        }
        out.push(*id);
        write(&mut out, made.len() as u32);
        out.append(&mut made);
    }
    Ok(out)
}

/// The order of the functions: the shortest, then always the one that is likest to the last, and less to those before.
fn order(functions: &[Function], (kept, least): (f64, f64)) -> Vec<usize> {
    let runs: Vec<Vec<u64>> = functions.iter().map(Function::runs).collect();
    let mut holders: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (function, runs) in runs.iter().enumerate() {
        for &run in runs {
            holders.entry(run).or_default().push(function);
        }
    }
    holders.retain(|_, holders| (2..=COMMON).contains(&holders.len()));
    let runs: Vec<Vec<&Vec<usize>>> =
        runs.iter().map(|runs| runs.iter().filter_map(|run| holders.get(run)).collect()).collect();
    // Rare runs weigh more.
    let weight = |holders: &Vec<usize>| f64::from((4 * functions.len() / holders.len()).ilog2());
    let size: Vec<f64> = runs.iter().map(|runs| least + runs.iter().map(|run| weight(run)).sum::<f64>()).collect();
    let mut left: Vec<usize> = (0..functions.len()).collect();
    left.sort_by_key(|&function| functions[function].length());
    left.reverse();
    let mut order = Vec::with_capacity(left.len());
    let mut shared = vec![0.0; functions.len()];
    while let Some(last) = left.pop() {
        order.push(last);
        shared.iter_mut().for_each(|shared| *shared *= kept);
        for holders in &runs[last] {
            for &function in *holders {
                shared[function] += weight(holders);
            }
        }
        let likeness = |&function: &usize| shared[function] / size[function];
        let best = (0..left.len()).max_by(|&a, &b| likeness(&left[a]).total_cmp(&likeness(&left[b])));
        if let Some(best) = best {
            let next = left.remove(best);
            left.push(next);
        }
    }
    order
}

impl Function {
    fn length(&self) -> usize {
        self.code.iter().map(|piece| if let Piece::Bytes(bytes) = piece { bytes.len() } else { 1 }).sum()
    }

    /// Every run of its code, each once; which function is called is of no matter, as that is numbered anew.
    fn runs(&self) -> Vec<u64> {
        let numbers = self.numbers();
        let mut bytes = Vec::with_capacity(self.length());
        for piece in &self.code {
            match piece {
                Piece::Bytes(piece) => bytes.extend_from_slice(piece),
                Piece::Local(local) => bytes.push(numbers[*local as usize] as u8),
                Piece::Function(_) => bytes.push(0),
            }
        }
        let mut runs: Vec<u64> =
            bytes.windows(RUN).map(|run| run.iter().fold(0, |all, &byte| all << 8 | u64::from(byte))).collect();
        runs.sort_unstable();
        runs.dedup();
        runs
    }

    /// The locals in their new order: by type, small integers first, and otherwise as they are, which is by use.
    fn ordered(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (self.parameters..self.parameters + self.locals.len()).collect();
        order.sort_by_key(|&local| Reverse(self.locals[local - self.parameters]));
        order
    }

    /// The new number of each local.
    fn numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..self.parameters as u32).collect();
        numbers.resize(self.parameters + self.locals.len(), 0);
        for (at, local) in self.ordered().into_iter().enumerate() {
            numbers[local] = (self.parameters + at) as u32;
        }
        numbers
    }

    fn write(&self, out: &mut Vec<u8>, renamed: &dyn Fn(u32) -> Result<u32, &'static str>) -> Result<(), String> {
        let types: Vec<u8> = self.ordered().into_iter().map(|local| self.locals[local - self.parameters]).collect();
        let mut body = Vec::new();
        write(&mut body, types.chunk_by(|a, b| a == b).count() as u32);
        for alike in types.chunk_by(|a, b| a == b) {
            write(&mut body, alike.len() as u32);
            body.push(alike[0]);
        }
        let numbers = self.numbers();
        for piece in &self.code {
            match piece {
                Piece::Bytes(bytes) => body.extend_from_slice(bytes),
                Piece::Local(local) => write(&mut body, numbers[*local as usize]),
                Piece::Function(index) => write(&mut body, renamed(*index)?),
            }
        }
        write(out, body.len() as u32);
        out.append(&mut body);
        Ok(())
    }
}

/// How many parameters each type has.
fn parameters(content: &[u8]) -> Result<Vec<usize>, String> {
    let mut reader = Reader(content);
    let mut found = Vec::new();
    for _ in 0..reader.number()? {
        if reader.byte()? != 0x60 {
            return Err("a type is no function's".into());
        }
        found.push(reader.sized()?.len());
        reader.sized()?;
    }
    Ok(found)
}

fn functions(code: &[u8], types: &[u8], parameters: &[usize]) -> Result<Vec<Function>, String> {
    let (mut code, mut types) = (Reader(code), Reader(types));
    let count = code.number()?;
    if types.number()? != count {
        return Err("not every function has a body".into());
    }
    let mut found = Vec::new();
    for _ in 0..count {
        let of = types.number()?;
        let parameters = *parameters.get(of as usize).ok_or("a function has no type")?;
        let mut body = Reader(code.sized()?);
        let mut locals = Vec::new();
        for _ in 0..body.number()? {
            let many = body.number()? as usize;
            let next = locals.len() + many;
            if next > 50_000 {
                return Err("a function has too many locals".into());
            }
            locals.resize(next, body.byte()?);
        }
        let code = pieces(&mut body)?;
        let named = |piece: &Piece| matches!(piece, Piece::Local(l) if *l as usize >= parameters + locals.len());
        if code.iter().any(named) {
            return Err("a local is not there".into());
        }
        found.push(Function { of, parameters, locals, code });
    }
    Ok(found)
}

/// Takes instructions apart, up to the end of the body.
fn pieces(reader: &mut Reader) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut bytes = Vec::new();
    while !reader.0.is_empty() {
        let rest = reader.0;
        let op = reader.byte()?;
        match op {
            // Locals, calls, and functions by reference.
            0x20..=0x22 | 0x10 | REF_FUNC => {
                bytes.push(op);
                pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                let index = reader.number()?;
                pieces.push(if op == 0x10 || op == REF_FUNC { Piece::Function(index) } else { Piece::Local(index) });
                continue;
            }
            // Loads and stores.
            0x28..=0x3e => {
                bytes.push(op);
                unaligned(reader, &mut bytes)?;
                continue;
            }
            0xfd => {
                let vector = reader.number()?;
                if let 0..=11 | 84..=93 = vector {
                    bytes.push(op);
                    write(&mut bytes, vector);
                    unaligned(reader, &mut bytes)?;
                    if (84..92).contains(&vector) {
                        bytes.push(reader.byte()?);
                    }
                    continue;
                }
                // Constants and shuffles, then lanes.
                let more = match vector {
                    12 | 13 => 16,
                    21..=34 => 1,
                    _ => 0,
                };
                reader.bytes(more)?;
            }
            0xfc => match reader.number()? {
                0..=7 => {}
                9 | 11 | 13 | 15..=17 => reader.skip(1)?,
                8 | 10 | 12 | 14 => reader.skip(2)?,
                _ => return Err("an instruction is not known".into()),
            },
            // Blocks, branches, globals, tables, a null, memory's size, whole numbers.
            0x02..=0x04 | 0x0c | 0x0d | 0x23..=0x26 | 0x3f..=0x42 | 0xd0 => reader.skip(1)?,
            0x11 => reader.skip(2)?,
            0x0e | 0x1c => {
                let count = reader.number()? as usize + usize::from(op == 0x0e);
                reader.skip(count)?;
            }
            0x43 => reader.bytes(4).map(drop)?,
            0x44 => reader.bytes(8).map(drop)?,
            0x00 | 0x01 | 0x05 | 0x0b | 0x0f | 0x1a | 0x1b | 0x45..=0xc4 | 0xd1 => {}
            _ => return Err(format!("instruction {op:#x} is not known")),
        }
        bytes.extend_from_slice(&rest[..rest.len() - reader.0.len()]);
    }
    pieces.push(Piece::Bytes(bytes));
    Ok(pieces)
}

/// Where a load or store goes, without its alignment.
fn unaligned(reader: &mut Reader, out: &mut Vec<u8>) -> Result<(), String> {
    if reader.number()? > 4 {
        return Err("an access is not to the one memory".into());
    }
    write(out, 0);
    write(out, reader.number()?);
    Ok(())
}

fn exports(
    content: &[u8],
    out: &mut Vec<u8>,
    renamed: &dyn Fn(u32) -> Result<u32, &'static str>,
) -> Result<(), String> {
    let mut reader = Reader(content);
    let count = reader.number()?;
    write(out, count);
    for _ in 0..count {
        let name = reader.sized()?;
        write(out, name.len() as u32);
        out.extend_from_slice(name);
        let (kind, index) = (reader.byte()?, reader.number()?);
        out.push(kind);
        write(out, if kind == 0 { renamed(index)? } else { index });
    }
    Ok(())
}

/// Lists of functions for tables, in the forms that name them by index.
fn elements(
    content: &[u8],
    out: &mut Vec<u8>,
    renamed: &dyn Fn(u32) -> Result<u32, &'static str>,
) -> Result<(), String> {
    let mut reader = Reader(content);
    let count = reader.number()?;
    write(out, count);
    for _ in 0..count {
        let form = reader.number()?;
        if form > 3 {
            return Err("a table is filled with expressions".into());
        }
        write(out, form);
        // Bit 0: filled by no offset here; bit 1: the table, or that functions follow, is said.
        if form == 2 {
            write(out, reader.number()?);
        }
        if form & 1 == 0 {
            let rest = reader.0;
            if reader.byte()? != I32_CONST {
                return Err("a table is filled at no constant".into());
            }
            reader.skip(1)?;
            if reader.byte()? != END {
                return Err("a table is filled at no constant".into());
            }
            out.extend_from_slice(&rest[..rest.len() - reader.0.len()]);
        }
        if form > 0 {
            out.push(reader.byte()?);
        }
        let many = reader.number()?;
        write(out, many);
        for _ in 0..many {
            write(out, renamed(reader.number()?)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "what arrange takes")]
    fn size(module: &[u8]) -> Result<usize, String> {
        Ok(module.len())
    }

    fn section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
        out.push(id);
        write(out, content.len() as u32);
        out.extend_from_slice(content);
    }

    /// Three functions behind an imported one: one of `locals` and `code`, then two that differ in a constant.
    fn module(locals: &[u8], code: &[u8]) -> Vec<u8> {
        let mut out = b"\0asm\x01\0\0\0".to_vec();
        section(&mut out, TYPE, b"\x02\x60\0\0\x60\x01\x7f\x01\x7f");
        section(&mut out, IMPORT, b"\x01\x01m\x01f\0\0");
        section(&mut out, FUNCTION, b"\x03\x01\0\0");
        section(&mut out, EXPORT, b"\x03\x01a\0\x01\x01b\0\x03\x01m\x02\0");
        section(&mut out, START, b"\x02");
        section(&mut out, ELEMENT, b"\x02\0\x41\x01\x0b\x02\x01\x03\x02\x01\x41\0\x0b\0\x01\x02");
        let mut content = vec![3];
        let first = [locals, code, &[END]].concat();
        let alike = |constant| vec![0, 0x41, constant, 0x1a, 0x41, 9, 0x1a, 0x41, 8, 0x1a, 0x41, 7, 0x1a, 0x10, 0, END];
        for body in [first, alike(1), alike(2)] {
            write(&mut content, body.len() as u32);
            content.extend_from_slice(&body);
        }
        section(&mut out, CODE, &content);
        out
    }

    fn content(module: &[u8], id: u8) -> Vec<u8> {
        sections(module).unwrap().into_iter().find(|(found, _)| *found == id).unwrap().1.to_vec()
    }

    #[test]
    fn what_names_a_function_follows_it() {
        // A call of the second, `ref.func` of itself, and of the import: it is longer than the others.
        let long = [&[0x10, 2, 0xd2, 1, 0x1a, 0x10, 0][..], &[0x01; 20], &[0x20, 0]].concat();
        let after = arrange(&module(&[0], &long), size).unwrap();
        // The shortest first, then its like, then the other: 1 is 3, 2 is 1, 3 is 2.
        assert_eq!(content(&after, FUNCTION), b"\x03\0\0\x01");
        assert_eq!(content(&after, EXPORT), b"\x03\x01a\0\x03\x01b\0\x02\x01m\x02\0");
        assert_eq!(content(&after, START), b"\x01");
        assert_eq!(content(&after, ELEMENT), b"\x02\0\x41\x01\x0b\x02\x03\x02\x02\x01\x41\0\x0b\0\x01\x01");
        let code = content(&after, CODE);
        assert_eq!(code[3..6], [0x41, 1, 0x1a]);
        assert!(code.ends_with(&[&[0, 0x10, 1, 0xd2, 3, 0x1a, 0x10, 0][..], &[0x01; 20], &[0x20, 0, END]].concat()));
    }

    #[test]
    fn locals_stand_by_type_and_accesses_promise_nothing() {
        // A parameter, f64, two i32, f64; a load of four aligned bytes, one lane's store, and a constant that is no index.
        let code = [
            &[0x20, 0, 0x21, 2, 0x20, 1, 0x22, 4, 0x20, 3][..],
            &[0x28, 2, 0x80, 1, 0xfd, 90, 2, 16, 3, 0xfd, 0, 4, 0],
            &[0xfd, 12, 0x20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0x20, 0x44, 0x20, 1, 2, 3, 4, 5, 6, 7],
            &[0x0e, 1, 0, 0, 0x42, 0x80, 0x7f, 0xfc, 10, 0, 0, 0xfd, 174, 1, 0x11, 1, 0],
        ];
        let after = arrange(&module(&[3, 1, 0x7c, 2, 0x7f, 1, 0x7c], &code.concat()), size).unwrap();
        let expected = [
            &[2, 2, 0x7f, 2, 0x7c, 0x20, 0, 0x21, 1, 0x20, 3, 0x22, 4, 0x20, 2][..],
            &[0x28, 0, 0x80, 1, 0xfd, 90, 0, 16, 3, 0xfd, 0, 0, 0],
            code[2],
            code[3],
            &[END],
        ];
        assert!(content(&after, CODE).ends_with(&expected.concat()));
    }

    #[test]
    fn the_arranged_module_stays_as_it_is() {
        let once = arrange(&module(&[1, 1, 0x7f], &[0x20, 1, 0x1a]), size).unwrap();
        assert_eq!(arrange(&once, size).unwrap(), once);
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        let refused = |locals: &[u8], code: &[u8]| arrange(&module(locals, code), size).unwrap_err();
        assert!(refused(&[0], &[0x06, 0x40]).contains("not known"));
        assert!(refused(&[0], &[0xfc, 99]).contains("not known"));
        assert!(refused(&[0], &[0x20, 1]).contains("a local is not there"));
        assert!(refused(&[0], &[0x10, 4]).contains("a function is not there"));
        assert!(refused(&[0], &[0x28, 0x42, 0, 0]).contains("the one memory"));
        assert!(refused(&[1, 0xff, 0xff, 0xff, 0x7f, 0x7f], &[]).contains("too many"));
        let whole = module(&[0], &[0x01]);
        for length in 9..whole.len() {
            // Between two sections it is a module of fewer, which lack what the others name.
            assert!(arrange(&whole[..length], size).is_err() || sections(&whole[..length]).is_ok(), "{length}");
        }
    }
}
