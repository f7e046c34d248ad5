//! Rust without the bodies of its functions, for a reader of types. It goes by tokens, so that it sees into macros, from which
//! most of `core`'s numbers come. Functions of text.

use rustc_lexer::{FrontmatterAllowed, TokenKind, tokenize};

/// The text, each body empty. What a constant may be computed by keeps its body, lest the length of an array be unknown;
/// inside macros, where there are thousands, it does not, and of documentation the first paragraph is kept there. Comments that
/// document nothing go too. Other attributes stay: without `stable` the analyzer takes longer, not less.
pub(crate) fn without_bodies(text: &str) -> String {
    let tokens = tokens(text);
    let mut kept = String::with_capacity(text.len() / 2);
    let mut keep = |from: usize, upto: usize| {
        tokens[from..upto].iter().filter(|token| !token.is_mere_comment()).for_each(|token| kept.push_str(token.text));
    };
    let (mut at, mut macro_ends, mut first_paragraph) = (0, 0, true);
    while at < tokens.len() {
        let token = &tokens[at];
        if is_macro(&tokens, at) {
            macro_ends = macro_ends.max(end_of_group(&tokens, next(&tokens, at, 3)));
        }
        let in_macro = at < macro_ends;
        first_paragraph |= !token.is_trivia() && token.text != "#";
        if token.text == "fn" && (in_macro || !is_const(&tokens, at)) {
            if let Some(brace) = body(&tokens, at) {
                let end = end_of_group(&tokens, brace);
                keep(at, brace + 1);
                keep(end.min(tokens.len()), (end + 1).min(tokens.len()));
                at = end + 1;
                continue;
            }
        } else if in_macro && token.is_line_of_documentation() {
            first_paragraph &= token.text.trim() != "///";
            at += usize::from(!first_paragraph);
            if !first_paragraph {
                continue;
            }
        } else if in_macro && token.text == "#" {
            let end = (end_of_group(&tokens, next(&tokens, at, 1)) + 1).min(tokens.len());
            let name = tokens.get(next(&tokens, at, 2)).map_or("", |token| token.text);
            if first_paragraph || name != "doc" {
                keep(at, end);
            }
            at = end;
            continue;
        }
        keep(at, at + 1);
        at += 1;
    }
    kept
}

struct Token<'a> {
    kind: TokenKind,
    text: &'a str,
}

impl Token<'_> {
    fn is_mere_comment(&self) -> bool {
        matches!(
            self.kind,
            TokenKind::LineComment { doc_style: None } | TokenKind::BlockComment { doc_style: None, .. }
        )
    }

    fn is_line_of_documentation(&self) -> bool {
        matches!(self.kind, TokenKind::LineComment { doc_style: Some(_) })
    }

    fn is_trivia(&self) -> bool {
        matches!(self.kind, TokenKind::Whitespace | TokenKind::LineComment { .. } | TokenKind::BlockComment { .. })
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut begin = 0;
    tokenize(text, FrontmatterAllowed::No)
        .map(|token| {
            let end = begin + token.len as usize;
            let text = &text[begin..end];
            begin = end;
            Token { kind: token.kind, text }
        })
        .collect()
}

/// The place `count` words and marks further on; the number of tokens when there are not so many.
fn next(tokens: &[Token<'_>], at: usize, count: usize) -> usize {
    let significant = (at + 1..tokens.len()).filter(|at| !tokens[*at].is_trivia());
    significant.into_iter().nth(count - 1).unwrap_or(tokens.len())
}

/// `macro_rules! name`, and what stands behind it begins.
fn is_macro(tokens: &[Token<'_>], at: usize) -> bool {
    tokens[at].text == "macro_rules" && tokens.get(next(tokens, at, 1)).is_some_and(|token| token.text == "!")
}

/// Whether the words before a `fn` have a `const`.
fn is_const(tokens: &[Token<'_>], at: usize) -> bool {
    let before = tokens[..at].iter().rev().filter(|token| !token.is_trivia());
    before
        .take_while(|token| matches!(token.kind, TokenKind::Ident | TokenKind::Literal { .. }))
        .any(|token| token.text == "const")
}

/// Where the group that begins at a token ends.
fn end_of_group(tokens: &[Token<'_>], begin: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(begin) {
        match token.kind {
            TokenKind::OpenBrace | TokenKind::OpenParen | TokenKind::OpenBracket => depth += 1,
            TokenKind::CloseBrace | TokenKind::CloseParen | TokenKind::CloseBracket => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// The brace with which the body of the function at a `fn` begins; `None` for a type, and for a function without one.
fn body(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let name = tokens.get(next(tokens, at, 1))?;
    matches!(name.kind, TokenKind::Ident | TokenKind::RawIdent | TokenKind::Dollar).then_some(())?;
    let (mut groups, mut angles, mut before) = (0_usize, 0_usize, "");
    for (at, token) in tokens.iter().enumerate().skip(at + 1).filter(|(_, token)| !token.is_trivia()) {
        match token.kind {
            TokenKind::OpenBrace if groups == 0 && angles == 0 => return Some(at),
            TokenKind::Semi if groups == 0 => return None,
            TokenKind::OpenBrace | TokenKind::OpenParen | TokenKind::OpenBracket => groups += 1,
            TokenKind::CloseBrace | TokenKind::CloseParen | TokenKind::CloseBracket => {
                groups = groups.checked_sub(1)?
            }
            TokenKind::Lt => angles += 1,
            TokenKind::Gt if before != "-" => angles = angles.saturating_sub(1),
            _ => {}
        }
        before = token.text;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        assert_eq!(without_bodies(text), expect, "{text}");
    }

    #[test]
    fn a_body_is_emptied_and_documentation_stays() {
        check(
            "/// Adds.\nfn add(a: i32) -> i32 { if a > 0 { 1 } else { 2 } }\nstruct S;",
            "/// Adds.\nfn add(a: i32) -> i32 {}\nstruct S;",
        );
        check("fn a() { '}'; \"{\"; /* } */ } fn b() {}", "fn a() {} fn b() {}");
        check("// why\nfn a() {}", "\nfn a() {}");
    }

    #[test]
    fn a_body_is_found_behind_any_signature() {
        check(
            "fn f<F: Fn(u8) -> u8, const N: usize>(f: F) -> [u8; N] where F: Copy, { f() }",
            "fn f<F: Fn(u8) -> u8, const N: usize>(f: F) -> [u8; N] where F: Copy, {}",
        );
        check("fn f() -> Foo<{ 1 + 1 }> { g() }", "fn f() -> Foo<{ 1 + 1 }> {}");
        check("trait T { fn f(&self); fn g(&self) { 1 } }", "trait T { fn f(&self); fn g(&self) {} }");
        check("struct S { f: fn(u8) -> u8 } const X: u8 = { 1 };", "struct S { f: fn(u8) -> u8 } const X: u8 = { 1 };");
    }

    #[test]
    fn what_constants_are_computed_by_keeps_its_body() {
        check("pub const fn f() -> usize { 1 }", "pub const fn f() -> usize { 1 }");
        check("pub const unsafe extern \"C\" fn f() { 1 }", "pub const unsafe extern \"C\" fn f() { 1 }");
        check("const A: u8 = 1; fn f() { 1 }", "const A: u8 = 1; fn f() {}");
    }

    #[test]
    fn in_a_macro_every_body_is_emptied() {
        check(
            "macro_rules! m { ($t:ty) => { pub const fn f() -> $t { 1 } fn $g() { 2 } } } const fn g() { 1 }",
            "macro_rules! m { ($t:ty) => { pub const fn f() -> $t {} fn $g() {} } } const fn g() { 1 }",
        );
        check("macro_rules! m { (fn $f:ident) => { 1 } }", "macro_rules! m { (fn $f:ident) => { 1 } }");
    }

    #[test]
    fn in_a_macro_the_first_paragraph_documents() {
        check(
            "macro_rules! m { () => { /// One.\n///\n/// Two.\n#[doc = concat!(\"a\")]\n#[inline]\nfn f() { 1 }\n#[doc = \"b\"] fn g(); } }",
            "macro_rules! m { () => { /// One.\n\n\n\n#[inline]\nfn f() {}\n#[doc = \"b\"] fn g(); } }",
        );
        check("/// One.\n///\n/// Two.\nfn f();", "/// One.\n///\n/// Two.\nfn f();");
    }

    #[test]
    fn text_that_is_not_rust_ends() {
        for text in [
            "fn",
            "fn f",
            "fn f(",
            "fn f() {",
            "fn f() { { }",
            "}}} fn",
            "macro_rules!",
            "macro_rules! m",
            "\"",
            "fn f() -> <",
        ] {
            without_bodies(text);
        }
    }
}
