//! The items in the source that evcxr has made of a cell, in the order and the form in which they compile: evcxr keeps them in
//! no order, and a macro must stand before what uses it; the calls of macros that make items are taken out of the constants that
//! they were sent in; statics that are in another library refer to it. What the compiler says of a line is told of the line
//! that evcxr knows. Functions of syntax.

use std::collections::BTreeMap;
use std::ops::Range;

use ra_ap_syntax::ast::{self, AstNode, HasAttrs as _, HasModuleItem as _, HasName as _};
use ra_ap_syntax::{Edition, SourceFile, SyntaxNode};
use serde_json::Value;

use super::instructions::Statics;
use crate::evcxr_contract::{keys, source};
use crate::statics;

/// The source that is compiled, and where its lines come from.
pub(super) struct Arranged {
    pub(super) text: String,
    /// For each line.
    origins: Vec<Origin>,
    /// The statics that this library is to give away.
    pub(super) statics: Statics,
}

/// Where a line begins in evcxr's text, from one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Origin {
    line: usize,
    column: usize,
}

/// Something else in the place of a part of the text.
struct Change {
    place: Range<usize>,
    put: String,
}

/// Arranges a source. `living` are the statics of libraries that are loaded; those that are not there yet are given away
/// under symbols that begin with `unique`, or left alone where there is none.
pub(super) fn arrange(text: &str, living: &BTreeMap<String, String>, unique: Option<&str>) -> Arranged {
    let file = SourceFile::parse(text, Edition::Edition2024).tree();
    let lines = Lines::of(text);
    let (mut changes, mut given) = (Vec::new(), Statics::new());
    let (mut macros, mut made, mut head) = (Vec::new(), Vec::new(), None);
    for item in file.items() {
        let range = bytes(item.syntax());
        let whole = lines.whole(&range);
        head.get_or_insert(whole.start);
        match &item {
            ast::Item::MacroRules(_) => macros.push(whole),
            ast::Item::Module(module) if is_macro_use(module) => macros.push(whole),
            ast::Item::Const(item) if made_number(item).is_some() => {
                if let Some(within) = within(item) {
                    changes.push(Change { place: range.start..within.start, put: String::new() });
                    changes.push(Change { place: within.end..range.end, put: String::new() });
                    made.push((made_number(item), whole));
                }
            }
            item if !source::is_around(item) => {
                for (key, found) in statics::of(item.syntax()) {
                    if let Some(symbol) = living.get(&key) {
                        let put = statics::elsewhere(&found, symbol);
                        changes
                            .push(Change { place: statics::attribute_place(&found)..bytes(found.syntax()).end, put });
                    } else if let Some(unique) = unique {
                        let symbol = format!("{unique}_{}", given.len());
                        let place = statics::attribute_place(&found);
                        changes.push(Change { place: place..place, put: statics::given_away(&symbol) });
                        let type_name = found.ty().map(|found| found.syntax().text().to_string()).unwrap_or_default();
                        given.insert(key, (symbol, type_name));
                    }
                }
            }
            _ => {}
        }
    }
    made.sort_by_key(|(number, _)| *number);
    let moved: Vec<Range<usize>> = macros.into_iter().chain(made.into_iter().map(|(_, whole)| whole)).collect();
    changes.sort_by_key(|change| (change.place.start, change.place.end));
    let mut arranged = Arranged { text: String::with_capacity(text.len() + 256), origins: Vec::new(), statics: given };
    let head = head.unwrap_or(text.len());
    let mut rest = moved.clone();
    rest.sort_by_key(|range| range.start);
    let mut order: Vec<Range<usize>> = std::iter::once(0..head).chain(moved).collect();
    let mut from = head;
    for range in rest {
        order.push(from..range.start);
        from = range.end;
    }
    order.push(from..text.len());
    for range in order.into_iter().filter(|range| !range.is_empty()) {
        arranged.add(text, &lines, range, &changes);
    }
    if !arranged.statics.is_empty() {
        let put = format!("#[unsafe(no_mangle)] pub static {}: u8 = 0;", statics::MARK);
        arranged.put(&put, lines.position(text, text.len()));
    }
    arranged
}

impl Arranged {
    /// Adds a part of the text, with its changes.
    fn add(&mut self, text: &str, lines: &Lines, range: Range<usize>, changes: &[Change]) {
        let mut from = range.start;
        let inside = changes.iter().filter(|change| range.start <= change.place.start && change.place.end <= range.end);
        // One in another, as a static in what is called from elsewhere, has no place any more.
        for change in inside {
            if change.place.start < from {
                continue;
            }
            self.copy(&text[from..change.place.start], lines.position(text, from));
            if !change.put.is_empty() {
                self.put(&change.put, lines.position(text, change.place.start));
            }
            from = change.place.end;
        }
        self.copy(&text[from..range.end], lines.position(text, from));
    }

    fn copy(&mut self, text: &str, mut origin: Origin) {
        for line in text.split_inclusive('\n') {
            self.put(line.strip_suffix('\n').unwrap_or(line), origin);
            origin = Origin { line: origin.line + 1, column: 1 };
        }
    }

    fn put(&mut self, line: &str, origin: Origin) {
        self.text.push_str(line);
        self.text.push('\n');
        self.origins.push(origin);
    }

    /// Has what the compiler says be of evcxr's lines.
    pub(super) fn tell_of_evcxrs_lines(&self, message: &mut Value) {
        match message {
            Value::Array(all) => all.iter_mut().for_each(|one| self.tell_of_evcxrs_lines(one)),
            Value::Object(fields) => {
                let is_ours =
                    fields.get("file_name").and_then(Value::as_str).is_some_and(|file| file.ends_with("lib.rs"));
                for end in ["start", "end"].into_iter().filter(|_| is_ours) {
                    let (line, column) = (format!("line_{end}"), format!("column_{end}"));
                    let number =
                        |name: &str| fields.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
                    if let (Some(at), Some(within)) = (number(&line), number(&column))
                        && let Some(origin) = at.checked_sub(1).and_then(|at| self.origins.get(at))
                    {
                        fields.insert(line, origin.line.into());
                        fields.insert(column, (origin.column + within - 1).into());
                    }
                }
                fields.values_mut().for_each(|one| self.tell_of_evcxrs_lines(one));
            }
            _ => {}
        }
    }
}

/// Where the lines of a text begin, in bytes.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        Lines(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn index(&self, at: usize) -> usize {
        self.0.partition_point(|begins| *begins <= at) - 1
    }

    fn position(&self, text: &str, at: usize) -> Origin {
        let index = self.index(at);
        Origin { line: index + 1, column: text[self.0[index]..at].chars().count() + 1 }
    }

    /// The lines that a part of the text is on.
    fn whole(&self, range: &Range<usize>) -> Range<usize> {
        let last = self.index(range.end.saturating_sub(1).max(range.start));
        self.0[self.index(range.start)]..self.0.get(last + 1).copied().unwrap_or(range.end)
    }
}

fn bytes(node: &SyntaxNode) -> Range<usize> {
    node.text_range().start().into()..node.text_range().end().into()
}

fn made_number(item: &ast::Const) -> Option<u32> {
    keys::made_number(item.name()?.text())
}

/// What is in the block that is the value of a constant.
fn within(item: &ast::Const) -> Option<Range<usize>> {
    let ast::Expr::BlockExpr(block) = item.body()? else { return None };
    let list = block.stmt_list()?;
    Some(list.l_curly_token()?.text_range().end().into()..list.r_curly_token()?.text_range().start().into())
}

fn is_macro_use(module: &ast::Module) -> bool {
    module.attrs().any(|attribute| attribute.syntax().text().to_string().contains("macro_use"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = "#![allow(x)]\n\
        fn f() { m!() }\n\
        const CORRIENTE_MADE_7: () = { make!(B); };\n\
        const CORRIENTE_MADE_3: () = { make! { A\n } };\n\
        macro_rules! m {\n () => { 1 };\n}\n\
        fn g() { 1 } \n";

    #[test]
    fn macros_come_first_and_what_they_make_next() {
        let arranged = arrange(TEXT, &BTreeMap::new(), None);
        let expect = "#![allow(x)]\nmacro_rules! m {\n () => { 1 };\n}\n make! { A\n } \n make!(B); \nfn f() { m!() }\nfn g() { 1 } \n";
        assert_eq!(arranged.text.replace("\n\n", "\n"), expect);
    }

    /// The text at a line and column of what was arranged is that at the place it is told to be at.
    #[test]
    fn every_place_is_told_of_the_line_it_came_from() {
        let living = BTreeMap::from([("A".to_owned(), "s_a".to_owned())]);
        let text = format!("{TEXT}static A: u8 =\n  1; fn h() {{ static B: M = M; é(B) }}\nfn last() {{}}\n");
        let arranged = arrange(&text, &living, Some("u"));
        let at = |text: &str, line: usize, column: usize, length: usize| -> String {
            text.lines().nth(line - 1).unwrap_or("").chars().skip(column - 1).take(length).collect()
        };
        for word in ["#![allow", "m!()", "make!(B)", "make! {", "A\n", "() => { 1", "fn g", "M = M", "é(B)", "fn last"]
        {
            let word = word.trim();
            let (index, line) =
                arranged.text.lines().enumerate().find(|(_, line)| line.contains(word)).unwrap_or((0, ""));
            let column = line.split(word).next().unwrap_or("").chars().count() + 1;
            let span = json!({"file_name": "src/lib.rs", "line_start": index + 1, "line_end": index + 1,
                "column_start": column, "column_end": column});
            let mut message = json!({"spans": [span]});
            arranged.tell_of_evcxrs_lines(&mut message);
            let number = |name: &str| message["spans"][0][name].as_u64().unwrap_or(0) as usize;
            let found = at(&text, number("line_start"), number("column_start"), word.chars().count());
            assert_eq!(found, word, "{}", arranged.text);
        }
    }

    #[test]
    fn a_static_is_in_one_library() {
        let text = "static A: u8 =\n 1;\nfn f() { pub static B: M<&str> = m(); B.get() }\nstatic NEW: u8 = 2;\n";
        let living = BTreeMap::from([("A".to_owned(), "s_a".to_owned()), ("f::B".to_owned(), "s_b".to_owned())]);
        let arranged = arrange(text, &living, Some("u"));
        for part in [
            "#[link_name = \"s_a\"] safe static A: u8; }",
            "#[link_name = \"s_b\"] pub safe static B: M<&'static str>; }",
            "#[unsafe(export_name = \"u_0\")]\nstatic NEW: u8 = 2;",
            statics::MARK,
        ] {
            assert!(arranged.text.contains(part), "{part}\n{}", arranged.text);
        }
        assert_eq!(arranged.statics, Statics::from([("NEW".to_owned(), ("u_0".to_owned(), "u8".to_owned()))]));
        assert_eq!(arrange(text, &BTreeMap::new(), None).text, text);
    }
}
