//! What evcxr is given for items that are run again, and what a new definition makes useless.

use super::*;
use crate::rewrite::Edits;
use ra_ap_syntax::{Edition, SourceFile, ast::HasModuleItem as _};

/// What evcxr is given for cells that run one after the other, the last one's alone.
fn last(cells: &[&str]) -> (String, Change) {
    let (mut items, mut told) = (Items::default(), None);
    for code in cells {
        let head = "fn cell() {";
        let file = SourceFile::parse(&format!("{head}{code}\n}}"), Edition::Edition2024).tree();
        let body = file.items().find_map(|item| match item {
            ast::Item::Fn(function) => function.body()?.stmt_list(),
            _ => None,
        });
        let mut change = body.map(|body| items.change(&body)).unwrap_or_default();
        let edits = change.edits.drain(..).map(|edit| Edit { at: edit.at - head.len(), ..edit }).collect();
        let text = format!("{}|{}", Edits::make(code, edits).0, change.behind);
        items = change.items.clone();
        told = Some((text, change));
    }
    told.unwrap_or_default()
}

fn check(cells: &[&str], expect: &str) {
    let text = last(cells).0.replace("const CORRIENTE_BLOCK_", "K").replace("const CORRIENTE_MADE_", "M");
    assert_eq!(text.replace(": () = ();", ""), expect, "{cells:?}");
}

#[test]
fn an_impl_that_is_run_again_replaces_the_one_before() {
    check(&["impl A { fn a() {} }"], "K1 impl A { fn a() {} }|");
    check(&["impl A { fn a() {} }", "impl A { fn a() { 1 } }"], "K2 impl A { fn a() { 1 } }|K1\n");
    check(
        &["impl A { fn a() {}\n fn b() {} }", "impl A { fn b() { 1 } }"],
        "K2 impl A { fn b() { 1 } }|K1\nimpl A {\nfn a() {}\n}\n",
    );
    check(&["impl A { fn a() {} }", "impl A { fn b() {} }"], "K2 impl A { fn b() {} }|");
    check(&["impl A { fn a() {} }", "impl B { fn a() {} }"], "K2 impl B { fn a() {} }|");
    check(
        &["impl<T> A<T> { fn a() {} }", "impl<U> m::A<U> where U: B { fn a() {} }"],
        "K2 impl<U> m::A<U> where U: B { fn a() {} }|K1\n",
    );
    check(&["impl A<u8> { fn a() {} }", "impl A<u16> { fn a() {} }"], "K2 impl A<u16> { fn a() {} }|");
    check(&["impl T for A {}", "impl x::T for A {}"], "K2 impl x::T for A {}|K1\n");
    check(&["impl From<u8> for A {}", "impl From<u16> for A {}"], "K2 impl From<u16> for A {}|");
    check(&["impl<'a> T<'a> for A<'a> {}", "impl T<'_> for A<'_> {}"], "K2 impl T<'_> for A<'_> {}|K1\n");
    check(&["impl M for A {}", "impl N for A {}", "impl M for A {}"], "K3 impl M for A {}|K1\n");
}

#[test]
fn what_came_with_a_type_goes_with_it() {
    check(&["struct A;\nimpl D for A {}", "#[derive(E)]\nstruct A;"], "#[derive(E)]\nstruct A;|K1\n");
    check(&["struct A;", "impl D for A {}", "struct A;"], "struct A;|");
    check(&["struct A;", "impl D for A {}", "#[derive(Clone, D)]\nstruct A;"], "#[derive(Clone, D)]\nstruct A;|K1\n");
    check(
        &["struct A;\nimpl A { fn a() {} }", "struct A;\nimpl A { fn a() {} }"],
        "struct A;\nK2 impl A { fn a() {} }|K1\n",
    );
}

#[test]
fn foreign_functions_are_declared_once() {
    let cells = ["unsafe extern \"C\" { fn a(); fn b(); }", "unsafe extern \"C\" { fn b(); }"];
    check(&cells, "K2 unsafe extern \"C\" { fn b(); }|K1\nunsafe extern \"C\" {\nfn a();\n}\n");
}

#[test]
fn what_a_macro_makes_is_an_item() {
    let rules = "macro_rules! m { ($n:ident) => { struct $n; } }";
    check(&[rules, "m!(A)"], "M1: () = { m!(A); };|");
    check(&[rules, "m!(A);\nm! { B }"], "M1: () = { m!(A); };\nM2: () = { m! { B } };|");
    check(&[rules, "m!(A);", "m!(A);"], "M1: () = { m!(A); };|");
    check(&["macro_rules! m { () => { 1 } }", "m!()"], "m!()|");
    check(&[rules, "m!(A);", "struct A;"], "struct A;|M1\n");
    assert!(last(&[rules, "m!(A)"]).1.called.len() == 1);
}

fn check_changed(cells: &[&str], expect: &[&str]) {
    let changed: Vec<String> = last(cells).1.changed.into_iter().collect();
    assert_eq!(changed, expect, "{cells:?}");
}

#[test]
fn a_new_definition_reaches_what_is_made_of_it() {
    let first = "struct A { a: u8 }\nstruct B { a: A }\ntype C = Vec<B>;\nstruct D;";
    check_changed(&[first, "struct A { a: u16 }"], &["A", "B", "C"]);
    check_changed(&[first, "/// Doc.\n#[derive(Debug)]\nstruct A { a: u8 /* it */ }"], &[]);
    check_changed(&[first, "#[repr(C)]\nstruct A { a: u8 }"], &["A", "B", "C"]);
    check_changed(&["const N: usize = 1;\nstruct A([u8; N]);", "const N: usize = 2;"], &["A", "N"]);
    check_changed(&["trait T { fn a(); }", "trait T { fn a(); fn b(); }"], &["T"]);
    check_changed(&["struct A;", "struct A;\nstruct B;"], &[]);
    let rules = |inner: &str| format!("macro_rules! m {{ ($n:ident) => {{ struct $n({inner}); }} }}");
    check_changed(&[&rules("u8"), "m!(A);", &rules("u16")], &["A", "m"]);
}

#[test]
fn a_static_begins_anew_when_it_or_its_type_is_run_again() {
    let items = last(&["struct A;\nstatic S: M<A> = m();\nstatic T: u8 = 1;\nfn f() { static S: u8 = 2; }"]).1.items;
    let mut items = items;
    let found = |key: &str, type_name: &str| (key.to_owned(), (format!("symbol {key}"), type_name.to_owned()));
    items.loaded(BTreeMap::from([found("S", "M<A>"), found("T", "u8"), found("f::S", "u8")]));
    let left = |items: &Items, code: &str| {
        let file = SourceFile::parse(&format!("fn cell() {{{code}}}"), Edition::Edition2024).tree();
        let body = file.items().find_map(|item| match item {
            ast::Item::Fn(function) => function.body()?.stmt_list(),
            _ => None,
        });
        let change = body.map(|body| items.change(&body)).unwrap_or_default();
        change.items.statics().into_keys().collect::<Vec<_>>()
    };
    assert_eq!(left(&items, "S.x()"), ["S", "T", "f::S"]);
    assert_eq!(left(&items, "static T: u8 = 1;"), ["S", "f::S"]);
    assert_eq!(left(&items, "fn f() { static S: u8 = 2; }"), ["S", "T"]);
    assert_eq!(left(&items, "struct A(u8);"), ["T", "f::S"]);
    items.process_ended();
    assert_eq!(left(&items, "1"), [""; 0]);
}
