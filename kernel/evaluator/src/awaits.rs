//! The changes that make `.await` work outside of `async`: each waits where it stands, and what is bound there is a variable
//! of the notebook like any other. In what is given to a macro, too, where only tokens say what is awaited. Functions of
//! syntax.

use ra_ap_syntax::ast::{self, AstNode};
use ra_ap_syntax::{NodeOrToken, SyntaxElement, SyntaxKind, SyntaxNode, T};

use crate::rewrite::Edit;

/// What waits for a future on the process's one runtime, and gives up at an interrupt.
pub(crate) const BLOCK_ON: &str = "corriente::cell::block_on(";
/// The same around a macro that wants to be in an `async` block.
const BLOCK_ON_ASYNC: (&str, &str) = ("corriente::cell::block_on(async { ", " })");
/// tokio's macros, with what a person writes in them outside of `async`.
const SELECT: &str = "corriente::select";
const JOIN: &str = "corriente::join";
const TRY_JOIN: &str = "corriente::try_join";
/// Macros whose contents are in an `async` block of their own.
const STREAMS: [&str; 4] = ["stream", "try_stream", "async_stream", "try_fn_stream"];

/// What a macro does with futures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// Nothing: what is awaited in its arguments is waited for there.
    No,
    /// It wants to be in an `async` block.
    There,
    /// It has one of ours in its place.
    As(&'static str),
    /// What is awaited in it is its own concern.
    Inside,
}

/// The changes of a cell; `offset` makes a place in the cell of one in its syntax.
pub(crate) fn awaits(body: &ast::StmtList, offset: impl Fn(usize) -> usize) -> Vec<Edit> {
    let mut found = Found { edits: Vec::new(), offset: &offset };
    for node in body.syntax().descendants().filter(|node| is_outside_async(node, body)) {
        if let Some(waits) = ast::AwaitExpr::cast(node.clone()) {
            let (Some(future), Some(dot), Some(word)) = (waits.expr(), waits.dot_token(), waits.await_token()) else {
                continue;
            };
            found.waits(usize::from(future.syntax().text_range().start()), &dot.into(), &word.into());
        } else if let Some(call) = ast::MacroCall::cast(node)
            && let (Some(path), Some(arguments)) = (call.path(), call.token_tree())
        {
            found.call(&path.syntax().text().to_string(), path.syntax().text_range(), arguments.syntax());
        }
    }
    found.edits
}

/// Whether nothing around a node, up to the cell, is a function, a closure or an `async` block of the person's own.
fn is_outside_async(node: &SyntaxNode, body: &ast::StmtList) -> bool {
    let inside = node.ancestors().skip(1).take_while(|around| around != body.syntax());
    !inside.into_iter().any(|around| {
        let is_async = ast::BlockExpr::cast(around.clone()).is_some_and(|block| block.async_token().is_some());
        is_async || matches!(around.kind(), SyntaxKind::FN | SyntaxKind::CLOSURE_EXPR)
    })
}

/// The changes found so far.
struct Found<'a> {
    edits: Vec<Edit>,
    offset: &'a dyn Fn(usize) -> usize,
}

impl Found<'_> {
    fn put(&mut self, at: usize, remove: usize, put: &'static str) {
        self.edits.push(Edit { at: (self.offset)(at), remove, put: put.into() });
    }

    /// A future from `begins` on is awaited.
    fn waits(&mut self, begins: usize, dot: &SyntaxElement, word: &SyntaxElement) {
        self.put(begins, 0, BLOCK_ON);
        self.put(dot.text_range().start().into(), dot.text_range().len().into(), ")");
        self.put(word.text_range().start().into(), word.text_range().len().into(), "");
    }

    /// A macro is called.
    fn call(&mut self, path: &str, at: ra_ap_syntax::TextRange, arguments: &SyntaxNode) {
        match kind(path, arguments) {
            Waits::No => self.tokens(arguments),
            Waits::There => {
                self.put(at.start().into(), 0, BLOCK_ON_ASYNC.0);
                self.put(arguments.text_range().end().into(), 0, BLOCK_ON_ASYNC.1);
            }
            Waits::As(ours) => {
                self.put(at.start().into(), at.len().into(), ours);
                self.tokens(arguments);
            }
            Waits::Inside => {}
        }
    }

    /// What is given to a macro, or a bracket in it.
    fn tokens(&mut self, tree: &SyntaxNode) {
        let parts = parts(tree);
        let mut index = 0;
        while index < parts.len() {
            match &parts[index] {
                NodeOrToken::Node(group) if !is_async(&parts, index) => self.tokens(group),
                NodeOrToken::Token(token) if token.kind() == T![await] && index > 0 && !is_async(&parts, index) => {
                    if let Some(begins) = operand(&parts, index - 1) {
                        self.waits(parts[begins].text_range().start().into(), &parts[index - 1], &parts[index]);
                    }
                }
                NodeOrToken::Token(token) if token.kind() == T![!] && index > 0 => {
                    let begins = path(&parts, index - 1);
                    if let (Some(NodeOrToken::Node(arguments)), Some(begins)) = (parts.get(index + 1), begins) {
                        let text: String = parts[begins..index].iter().map(ToString::to_string).collect();
                        if kind(&text, arguments) != Waits::No {
                            let at = parts[begins].text_range().cover(parts[index - 1].text_range());
                            self.call(&text, at, arguments);
                            index += 1;
                        }
                    }
                }
                _ => {}
            }
            index += 1;
        }
    }
}

/// What a macro does with futures, from its name and its form.
fn kind(path: &str, arguments: &SyntaxNode) -> Waits {
    let path: String = path.split_whitespace().collect();
    let (crate_name, name) = (path.trim_start_matches("::").split("::").next(), path.rsplit("::").next().unwrap_or(""));
    let of_tokio = crate_name == Some("tokio");
    let parts = parts(arguments);
    match name {
        "join" => Waits::As(JOIN),
        "try_join" => Waits::As(TRY_JOIN),
        "select" if of_tokio => Waits::As(SELECT),
        "select" if crate_name != Some(name) && crate_name != Some("futures") => Waits::Inside,
        // futures' own has these words, and crossbeam's binds nothing with `=`.
        "select" if has_arm(&parts, &["complete", "default"]) || crate_name == Some("futures") => {
            if binds(&parts) {
                Waits::There
            } else {
                Waits::Inside
            }
        }
        "select" if binds(&parts) => Waits::As(SELECT),
        "select" | "select_biased" => Waits::Inside,
        name if STREAMS.contains(&name) => Waits::Inside,
        _ if parts.first().is_some_and(|part| part.kind() == T!['{']) => Waits::Inside,
        _ => Waits::No,
    }
}

/// Whether the first arm is of the form `pattern = future => …`.
fn binds(parts: &[SyntaxElement]) -> bool {
    let kinds: Vec<SyntaxKind> = parts.iter().map(SyntaxElement::kind).collect();
    let equals = kinds.iter().position(|kind| *kind == T![=]);
    equals.is_some_and(|at| !matches!(kinds.get(at + 1), Some(T![>])))
}

/// Whether an arm begins with one of these words alone.
fn has_arm(parts: &[SyntaxElement], words: &[&str]) -> bool {
    parts.windows(3).any(|three| {
        let word = three[0].as_token().is_some_and(|token| words.contains(&token.text()));
        word && (three[1].kind() == T![=>] || three[1].kind() == T![=] && three[2].kind() == T![>])
    })
}

/// What is in a bracket, with the bracket, without blanks and comments.
pub(crate) fn parts(tree: &SyntaxNode) -> Vec<SyntaxElement> {
    tree.children_with_tokens().filter(|part| !part.kind().is_trivia()).collect()
}

/// Whether an element is in an `async` block, closure or function that begins before it, in the same bracket.
fn is_async(parts: &[SyntaxElement], index: usize) -> bool {
    let before = parts[..index].iter().rev().take_while(|part| {
        let ends = matches!(part.kind(), T![,] | T![;] | T![=] | T![=>]);
        !ends && !part.as_node().is_some_and(is_braced)
    });
    let kinds: Vec<SyntaxKind> = before.map(SyntaxElement::kind).collect();
    if parts[index].as_node().is_some_and(is_braced) {
        return kinds.iter().any(|kind| matches!(kind, T![async] | T![fn]));
    }
    // Without braces only a closure's body can be meant.
    kinds.windows(2).any(|pair| matches!(pair, [T![|], T![async]] | [T![||], T![async]]))
        || kinds.windows(3).any(|three| matches!(three, [T![|] | T![||], T![move], T![async]]))
}

fn is_braced(group: &SyntaxNode) -> bool {
    group.first_token().is_some_and(|token| token.kind() == T!['{'])
}

/// Where the expression begins that ends before an element: a name, a call, a bracket or a block, and what is asked of it.
fn operand(parts: &[SyntaxElement], end: usize) -> Option<usize> {
    let mut at = end.checked_sub(1)?;
    loop {
        let before = at.checked_sub(1).map(|before| parts[before].kind());
        match &parts[at] {
            NodeOrToken::Token(token) if matches!(token.kind(), T![?] | T![await] | T![.]) => at = at.checked_sub(1)?,
            NodeOrToken::Node(block) if is_braced(block) => {
                // A block with its words, or a macro in braces.
                if before == Some(T![!]) {
                    return path(parts, at.checked_sub(2)?);
                }
                let words = parts[..at].iter().rev();
                let words = words.take_while(|part| matches!(part.kind(), T![async] | T![move] | T![unsafe])).count();
                return Some(at - words);
            }
            NodeOrToken::Node(_) => match before {
                Some(T![!]) => at = path(parts, at.checked_sub(2)?)?,
                Some(T![>]) => match turbofish(parts, at - 1) {
                    Some(begins) => at = begins.checked_sub(1)?,
                    None => return Some(at),
                },
                // A call or an index of what is before it.
                Some(kind) if is_name(kind) || matches!(kind, T![?] | T![await] | SyntaxKind::TOKEN_TREE) => {
                    if parts[at - 1].as_node().is_some_and(is_braced) {
                        return Some(at);
                    }
                    at -= 1;
                }
                _ => return Some(at),
            },
            NodeOrToken::Token(token) if is_name(token.kind()) || token.kind().is_literal() => {
                let begins = path(parts, at)?;
                match begins.checked_sub(1).map(|before| parts[before].kind()) {
                    Some(T![.]) => at = begins - 1,
                    _ => return Some(begins),
                }
            }
            _ => return None,
        }
    }
}

/// Where the path begins that ends with an element.
fn path(parts: &[SyntaxElement], last: usize) -> Option<usize> {
    let mut at = last;
    loop {
        let kind = parts.get(at)?.kind();
        if !is_name(kind) && !kind.is_literal() {
            return None;
        }
        let Some(colons) = colons(parts, at) else { return Some(at) };
        match colons.checked_sub(1).map(|before| parts[before].kind()) {
            Some(kind) if is_name(kind) => at = colons - 1,
            Some(T![>]) => at = turbofish(parts, colons - 1)?.checked_sub(1)?,
            _ => return Some(colons),
        }
    }
}

/// Where `::` begins that ends before an element.
fn colons(parts: &[SyntaxElement], at: usize) -> Option<usize> {
    let kind = |back: usize| at.checked_sub(back).map(|index| parts[index].kind());
    match (kind(2), kind(1)) {
        (_, Some(T![::])) => Some(at - 1),
        (Some(T![:]), Some(T![:])) => Some(at - 2),
        _ => None,
    }
}

/// Where `::<…>` begins that ends with an element.
fn turbofish(parts: &[SyntaxElement], last: usize) -> Option<usize> {
    let mut depth = 0;
    for at in (0..=last).rev() {
        match parts[at].kind() {
            T![>] => depth += 1,
            T![<] => depth -= 1,
            T![;] | T![=] => return None,
            _ => {}
        }
        if depth == 0 {
            return colons(parts, at);
        }
    }
    None
}

fn is_name(kind: SyntaxKind) -> bool {
    matches!(kind, SyntaxKind::IDENT | SyntaxKind::INT_NUMBER | T![self] | T![Self] | T![super] | T![crate])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::Edits;
    use ra_ap_syntax::{Edition, SourceFile, ast::HasModuleItem as _};

    /// `w(` and `s!` stand for what is put in.
    fn check(code: &str, expect: &str) {
        let head = "async fn cell() {\n";
        let file = SourceFile::parse(&format!("{head}{code}\n}}"), Edition::Edition2024).tree();
        let body = file.items().find_map(|item| match item {
            ast::Item::Fn(function) => function.body()?.stmt_list(),
            _ => None,
        });
        let edits = body.map(|body| awaits(&body, |at| at - head.len())).unwrap_or_default();
        let made = Edits::make(code, edits).0;
        assert_eq!(
            made.replace(BLOCK_ON, "w(").replace(SELECT, "s").replace(TRY_JOIN, "t").replace(JOIN, "j"),
            expect,
            "{code}"
        );
    }

    #[test]
    fn what_is_awaited_in_a_macro_is_waited_for() {
        check("println!(\"{}\", f().await);", "println!(\"{}\", w(f()));");
        check("println!(\"{}\", async { 1 }.await);", "println!(\"{}\", w(async { 1 }));");
        check("assert_eq!(a.b(c).await?, 3 + d::e::<F>(g).await);", "assert_eq!(w(a.b(c))?, 3 + w(d::e::<F>(g)));");
        check("vec![f().await, (g)().await; 3]", "vec![w(f()), w((g)()); 3]");
        check("dbg!(f(h().await).await.i().await)", "dbg!(w(w(f(w(h()))).i()))");
        check(
            "assert!(!x.await && -y.0.await > 1, \"{}\", &z[0].await);",
            "assert!(!w(x) && -w(y.0) > 1, \"{}\", &w(z[0]));",
        );
        check(
            "format!(\"{a}\", a = ::std::future::ready(1).await)",
            "format!(\"{a}\", a = w(::std::future::ready(1)))",
        );
        check("println!(\"{}\", format!(\"{}\", f().await));", "println!(\"{}\", format!(\"{}\", w(f())));");
        check(
            "println!(\"{}\", Box::<dyn F>::pin(async move { 1 }).await);",
            "println!(\"{}\", w(Box::<dyn F>::pin(async move { 1 })));",
        );
        check("println!(\"{}\", a > (b).await);", "println!(\"{}\", a > w((b)));");
        check("println!(\"{}\", if x.await { 1 } else { y.await });", "println!(\"{}\", if w(x) { 1 } else { w(y) });");
    }

    #[test]
    fn what_is_async_already_is_left_alone() {
        for code in [
            "println!(\"{}\", run(async { f().await }));",
            "call!(async move { f().await }, async |x| g(x).await);",
            "call!(async move |x| g(x).await)",
            "let f = async { println!(\"{}\", f().await) };",
            "stream!(yield f().await)",
            "items! { async fn f() { g().await } }",
        ] {
            check(code, code);
        }
    }

    #[test]
    fn a_selection_has_its_handlers_outside() {
        check("loop { tokio::select! { _ = f() => break, } }", "loop { s! { _ = f() => break, } }");
        check(
            "select! { Some(x) = r.recv() => { g(x).await?; } _ = async { h().await } => {} else => i().await }",
            "s! { Some(x) = r.recv() => { w(g(x))?; } _ = async { h().await } => {} else => w(i()) }",
        );
        check("tokio::select! { a = f() => tokio::select! { b = g() => 1 } }", "s! { a = f() => s! { b = g() => 1 } }");
        check("crossbeam::select! { recv(r) -> m => f(m), }", "crossbeam::select! { recv(r) -> m => f(m), }");
        check("select! { recv(r) -> m => f(m), default => 1 }", "select! { recv(r) -> m => f(m), default => 1 }");
        check("println!(\"{:?}\", tokio::join!(f(), g()));", "println!(\"{:?}\", j!(f(), g()));");
        check("let (a, b) = try_join!(f(g().await), h()?)?;", "let (a, b) = t!(f(w(g())), h()?)?;");
        check(
            "futures::select! { a = f => 1, complete => 2 }",
            "w(async { futures::select! { a = f => 1, complete => 2 } })",
        );
    }
}
