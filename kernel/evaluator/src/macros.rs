//! Macros that make items: which of a notebook's do, how a call of one is told, and `thread_local!`, whose keys are statics as
//! cells have them. Functions of syntax.

use ra_ap_syntax::ast::{self, AstNode};
use ra_ap_syntax::{NodeOrToken, SyntaxElement, SyntaxKind, SyntaxNode, T};

use crate::awaits::parts;
use crate::rewrite::Edit;

/// Macros of well-known crates that make items.
pub(crate) const KNOWN: [&str; 2] = ["bitflags", "lazy_static"];

/// What a key of `thread_local!` is, and how one is made.
const KEY: &str = " ::std::thread::LocalKey<";
const MADE: &str = " ::corriente::local_key!(";

/// What a macro makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Makes {
    /// Functions, types, implementations.
    Items,
    /// Values and statements.
    Values,
}

/// What a macro makes, by how its arms begin; `known` tells it of other macros.
pub(crate) fn makes(rules: &ast::MacroRules, known: impl Fn(&str) -> bool) -> Makes {
    let Some(tree) = rules.token_tree() else { return Makes::Values };
    let arms = parts(tree.syntax());
    let bodies = arms.windows(2).filter(|pair| matches!(pair[0].kind(), T![>] | T![=>]));
    let mut bodies = bodies.filter_map(|pair| pair[1].as_node());
    if bodies.any(|body| begins_item(&inside(body), &known)) { Makes::Items } else { Makes::Values }
}

/// Whether tokens begin like an item.
fn begins_item(tokens: &[SyntaxElement], known: &impl Fn(&str) -> bool) -> bool {
    let Some(first) = tokens.first() else { return false };
    let next = |at: usize| tokens.get(at).map(SyntaxElement::kind);
    match first.kind() {
        T![struct] | T![enum] | T![fn] | T![impl] | T![pub] | T![static] | T![type] | T![trait] | T![mod] => true,
        T![use] | T![extern] => true,
        T![const] => !matches!(next(1), Some(SyntaxKind::TOKEN_TREE)),
        T![unsafe] | T![async] => matches!(next(1), Some(T![fn] | T![impl] | T![extern] | T![trait])),
        T![#] => begins_item(tokens.get(2..).unwrap_or_default(), known),
        T![$] => match tokens.get(1) {
            // A repetition, with what is behind it where it is one of attributes.
            Some(NodeOrToken::Node(group)) => {
                let within = inside(group);
                if within.first().is_some_and(|token| token.kind() == T![#]) {
                    let rest = tokens.iter().skip(2).position(|token| !matches!(token.kind(), T![*] | T![?] | T![+]));
                    return rest.is_some_and(|at| begins_item(&tokens[at + 2..], known));
                }
                begins_item(&within, known)
            }
            // A name for a visibility or an item.
            Some(NodeOrToken::Token(_)) => begins_item(tokens.get(2..).unwrap_or_default(), known),
            None => false,
        },
        SyntaxKind::IDENT => {
            let name = first.to_string();
            let is_call = next(1) == Some(T![!]);
            name == "union" && next(1) == Some(SyntaxKind::IDENT)
                || is_call && (name == "macro_rules" || name == "thread_local" || known(&name))
        }
        _ => false,
    }
}

/// The call of a macro that a statement is.
pub(crate) fn call(statement: &SyntaxNode) -> Option<ast::MacroCall> {
    let expression = match statement.kind() {
        SyntaxKind::EXPR_STMT => ast::ExprStmt::cast(statement.clone())?.expr()?,
        _ => ast::Expr::cast(statement.clone())?,
    };
    let ast::Expr::MacroExpr(call) = expression else { return None };
    call.macro_call()
}

/// The last part of a macro's path.
pub(crate) fn name(call: &ast::MacroCall) -> Option<String> {
    Some(call.path()?.segment()?.name_ref()?.text().to_string())
}

/// The first name that a macro is given.
pub(crate) fn first_name(call: &ast::MacroCall) -> String {
    let tokens = call.token_tree().map(|tree| tree.syntax().descendants_with_tokens().collect::<Vec<_>>());
    let first = tokens.into_iter().flatten().find(|token| token.kind() == SyntaxKind::IDENT);
    first.map(|name| name.to_string()).unwrap_or_default()
}

/// The names of the keys that `thread_local!` declares.
pub(crate) fn keys(call: &ast::MacroCall) -> Vec<String> {
    let parts = call.token_tree().map(|tree| parts(tree.syntax())).unwrap_or_default();
    let names = parts.windows(2).filter(|pair| pair[0].kind() == T![static]);
    names.map(|pair| pair[1].to_string()).collect()
}

/// Whether the call of a macro needs no semicolon, or has one.
pub(crate) fn ends_itself(statement: &SyntaxNode, call: &ast::MacroCall) -> bool {
    let braced = call.token_tree().is_some_and(|tree| tree.l_curly_token().is_some());
    braced || statement.last_token().is_some_and(|token| token.kind() == T![;])
}

/// The changes that make statics of the keys that `thread_local!` declares.
pub(crate) fn thread_local(statement: &SyntaxNode, call: &ast::MacroCall) -> Vec<Edit> {
    let Some(tree) = call.token_tree() else { return Vec::new() };
    let (mut edits, inside) = (Vec::new(), tree.syntax());
    let parts = parts(inside);
    let parts = &parts[1..parts.len().saturating_sub(1).max(1)];
    let mut at = 0;
    while let Some(colon) = parts[at..].iter().position(|part| part.kind() == T![:]).map(|found| at + found) {
        let Some(equals) = equals(&parts[colon..]).map(|found| colon + found) else { break };
        let end = parts[equals..].iter().position(|part| part.kind() == T![;]).map(|found| equals + found);
        let type_name = one_line(inside, range(&parts[colon]).end..range(&parts[equals]).start);
        edits.push(Edit::put(range(&parts[colon]).end, KEY));
        edits.push(Edit::put(range(&parts[equals]).start, "> "));
        edits.push(Edit::put(range(&parts[equals]).end, format!("{MADE}{type_name}, ")));
        let last = end.unwrap_or(parts.len()) - 1;
        edits.push(Edit::put(range(&parts[last]).end, if end.is_some() { ")" } else { ");" }));
        at = end.map_or(parts.len(), |end| end + 1);
    }
    let outer = statement.descendants_with_tokens().filter_map(NodeOrToken::into_token);
    let (first, last) = (inside.first_token(), inside.last_token());
    // The call itself goes, token for token.
    for token in outer.filter(|token| !token.kind().is_trivia()) {
        let within = inside.text_range().contains_range(token.text_range());
        let is_bracket = Some(&token) == first.as_ref() || Some(&token) == last.as_ref();
        if !within || is_bracket {
            edits.push(Edit::take(&range(&NodeOrToken::Token(token))));
        }
    }
    edits
}

/// Where a type ends: at the `=` that is in no angle brackets.
fn equals(parts: &[SyntaxElement]) -> Option<usize> {
    let (mut depth, mut before) = (0_i32, T![:]);
    for (at, kind) in parts.iter().map(SyntaxElement::kind).enumerate() {
        match kind {
            T![<] => depth += 1,
            T![>] if before != T![-] => depth -= 1,
            T![=] if depth == 0 => return Some(at),
            _ => {}
        }
        before = kind;
    }
    None
}

/// A part of the text, with a blank for whatever says nothing.
fn one_line(tree: &SyntaxNode, part: std::ops::Range<usize>) -> String {
    let tokens = tree.descendants_with_tokens().filter_map(NodeOrToken::into_token);
    let inside = tokens.filter(|token| part.contains(&usize::from(token.text_range().start())));
    let text: String =
        inside.map(|token| if token.kind().is_trivia() { " ".to_owned() } else { token.text().to_owned() }).collect();
    text.trim().to_owned()
}

fn range(part: &SyntaxElement) -> std::ops::Range<usize> {
    part.text_range().start().into()..part.text_range().end().into()
}

/// What is in a bracket, without it.
fn inside(tree: &SyntaxNode) -> Vec<SyntaxElement> {
    let mut parts = parts(tree);
    parts.pop();
    parts.drain(..1.min(parts.len()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::Edits;
    use ra_ap_syntax::{Edition, SourceFile, ast::HasModuleItem as _};

    fn statements(code: &str) -> Vec<SyntaxNode> {
        let file = SourceFile::parse(&format!("fn cell() {{{code}}}"), Edition::Edition2024).tree();
        let body = file.items().find_map(|item| match item {
            ast::Item::Fn(function) => function.body()?.stmt_list(),
            _ => None,
        });
        body.into_iter().flat_map(|body| body.syntax().children()).collect()
    }

    fn check(arms: &str, expect: Makes) {
        let all = statements(&format!("macro_rules! m {{ {arms} }}"));
        let rules = all.into_iter().find_map(ast::MacroRules::cast);
        assert_eq!(rules.map(|rules| makes(&rules, |name| name == "other")), Some(expect), "{arms}");
    }

    #[test]
    fn a_macro_is_known_by_how_its_arms_begin() {
        for items in [
            "($n:ident) => { struct $n; };",
            "($n:ident) => { #[derive(Debug)] pub struct $n; }",
            "($(#[$m:meta])* $v:vis $n:ident) => { $(#[$m])* $v enum $n {} }",
            "($($t:ty)*) => { $(impl Named for $t {})* }",
            "() => { 1 }; ($n:ident) => { fn $n() {} }",
            "() => { unsafe impl Send for X {} }",
            "($n:ident) => { other!($n); }",
            "($n:ident) => { macro_rules! $n { () => { 1 } } }",
            "() => { const N: u8 = 1; }",
        ] {
            check(items, Makes::Items);
        }
        for values in [
            "($x:expr) => { $x * $x };",
            "() => { {1} }",
            "() => { let x = 1; }",
            "($($x:expr),*) => { $(println!(\"{}\", $x);)* }",
            "() => { unsafe { 1 } }",
            "() => { const { 1 } }",
            "() => { async { 1 } }",
            "() => {}",
            "($t:ty) => { $t::new() }",
        ] {
            check(values, Makes::Values);
        }
    }

    fn check_keys(code: &str, expect: &str) {
        let head = "fn cell() {".len();
        let all = statements(code);
        let edits = all.iter().filter_map(|node| Some(thread_local(node, &call(node)?))).flatten();
        let moved = edits.map(|edit| Edit { at: edit.at - head, ..edit }).collect();
        let made = Edits::make(code, moved).0;
        assert_eq!(made.replace(KEY, "K<").replace(MADE, "m!("), expect, "{code}");
    }

    #[test]
    fn the_keys_of_a_thread_are_statics() {
        check_keys("thread_local! { static A: u8 = 1; }", "  static A:K< u8 > =m!(u8,  1); ");
        check_keys("std::thread_local!(static A: Cell<u8> = f());", "static A:K< Cell<u8> > =m!(Cell<u8>,  f());");
        check_keys(
            "thread_local!(static A: a::B<c::D<u8>> = f());",
            "static A:K< a::B<c::D<u8>> > =m!(a::B<c::D<u8>>,  f());",
        );
        check_keys(
            "thread_local! {\n  /// One.\n  pub(crate) static A: B<dyn I<T = u8>> = const { 1 };\n  static C: D = 2\n}",
            " \n  /// One.\n  pub(crate) static A:K< B<dyn I<T = u8>> > =m!(B<dyn I<T = u8>>,  const { 1 });\n  static C:K< D > =m!(D,  2);\n",
        );
    }
}
