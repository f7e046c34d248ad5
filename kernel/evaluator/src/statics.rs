//! Statics that keep their values from cell to cell. Each cell is compiled with all items again, and would have statics of its
//! own; so the library that is loaded first with one gives it away under a symbol, and later ones refer to that. Functions of
//! syntax.

use std::collections::BTreeMap;

use ra_ap_syntax::ast::{self, AstNode, HasAttrs as _, HasName as _, HasVisibility as _};
use ra_ap_syntax::{SyntaxKind, SyntaxNode, T};

/// The symbol by which the cell process knows that a library has statics that others refer to.
pub(crate) const MARK: &str = "corriente_statics";

/// The statics in an item, however deep, each with a name that no other in the notebook has.
pub(crate) fn of(item: &SyntaxNode) -> Vec<(String, ast::Static)> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let statics = item.descendants().filter_map(ast::Static::cast);
    let named = |found: ast::Static| {
        let name = found.name()?.text().to_string();
        let around: Vec<SyntaxNode> = found.syntax().ancestors().skip(1).collect();
        let within = around.iter().position(|node| node == item).map_or(0, |at| at + 1);
        let mut path: Vec<String> = around[..within].iter().rev().filter_map(called).collect();
        path.push(name);
        let key = path.join("::");
        let count = seen.entry(key.clone()).or_default();
        *count += 1;
        Some((if *count > 1 { format!("{key}#{count}") } else { key }, found))
    };
    statics.filter_map(named).collect()
}

/// What an item around a static is called.
fn called(node: &SyntaxNode) -> Option<String> {
    if let Some(item) = ast::Impl::cast(node.clone()) {
        let parts = [item.trait_(), item.self_ty()].map(|part| part.map(|part| part.syntax().text().to_string()));
        return Some(format!("impl {}", parts.into_iter().flatten().collect::<Vec<_>>().join(" for ")));
    }
    (ast::Item::can_cast(node.kind()))
        .then(|| node.children().find_map(ast::Name::cast))?
        .map(|name| name.text().to_string())
}

/// The static as one of another library: it has no value of its own.
pub(crate) fn elsewhere(item: &ast::Static, symbol: &str) -> String {
    let word = |present: bool, word: &str| if present { format!("{word} ") } else { String::new() };
    let visibility = item.visibility().map_or_else(String::new, |found| format!("{} ", found.syntax().text()));
    let is_mutable = item.mut_token().is_some();
    let name = item.name().map_or_else(String::new, |name| name.text().to_string());
    let type_name = item.ty().map_or_else(String::new, |found| lasting(&found));
    format!(
        "unsafe extern \"C\" {{ #[link_name = \"{symbol}\"] {visibility}{}static {}{name}: {type_name}; }}",
        word(!is_mutable, "safe"),
        word(is_mutable, "mut"),
    )
}

/// What makes a static one that other libraries find: the attribute in front of it.
pub(crate) fn given_away(symbol: &str) -> String {
    format!("#[unsafe(export_name = \"{symbol}\")]")
}

/// Where the attribute goes, in bytes: behind those that it has.
pub(crate) fn attribute_place(item: &ast::Static) -> usize {
    let attributes = item.attrs().map(|attribute| attribute.syntax().text_range().end());
    let first = item.visibility().map(|found| found.syntax().text_range().start());
    let first = first.or_else(|| item.static_token().map(|token| token.text_range().start()));
    first.or_else(|| attributes.last()).unwrap_or_else(|| item.syntax().text_range().start()).into()
}

/// The type on one line, with the lifetime that a static's own references have by themselves.
fn lasting(found: &ast::Type) -> String {
    let in_function = |node: &SyntaxNode| {
        let whole = found.syntax().text_range();
        node.ancestors().take_while(|around| whole.contains_range(around.text_range())).any(|around| {
            matches!(around.kind(), SyntaxKind::FN_PTR_TYPE | SyntaxKind::PARENTHESIZED_ARG_LIST | SyntaxKind::RET_TYPE)
        })
    };
    let mut text = String::new();
    for token in found.syntax().descendants_with_tokens().filter_map(|element| element.into_token()) {
        if token.kind().is_trivia() {
            text.push(' ');
            continue;
        }
        text.push_str(token.text());
        let reference = token.parent().and_then(ast::RefType::cast);
        let is_open = reference.is_some_and(|found| found.lifetime().is_none() && !in_function(found.syntax()));
        if token.kind() == T![&] && is_open {
            text.push_str("'static ");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ra_ap_syntax::{Edition, SourceFile, ast::HasModuleItem as _};

    fn items(code: &str) -> Vec<SyntaxNode> {
        SourceFile::parse(code, Edition::Edition2024).tree().items().map(|item| item.syntax().clone()).collect()
    }

    #[test]
    fn every_static_has_a_name_of_its_own() {
        let code = "static A: u8 = 1; fn f() { static A: u8 = 1; { static A: u8 = 2; } fn g() { static B: u8 = 3; } }\
            mod m { static A: u8 = 1; } impl<T> Shape for Stack<T> { fn f() { static A: u8 = 1; } }";
        let keys: Vec<String> = items(code).iter().flat_map(of).map(|(key, _)| key).collect();
        assert_eq!(keys, ["A", "f::A", "f::A#2", "f::g::B", "m::A", "impl Shape for Stack<T>::f::A"]);
    }

    fn check(code: &str, expect: &str) {
        let found = items(code).iter().flat_map(of).next();
        let text = found.map(|(_, item)| elsewhere(&item, "s")).unwrap_or_default();
        let around = "unsafe extern \"C\" { #[link_name = \"s\"] ";
        assert_eq!(text.strip_prefix(around), Some(expect), "{code}");
    }

    #[test]
    fn a_static_of_another_library_has_no_value() {
        check("static A: AtomicU8 = AtomicU8::new(1);", "safe static A: AtomicU8; }");
        check("/// Doc.\npub(crate) static mut A: [u8;\n 2] = [1, 2];", "pub(crate) static mut A: [u8; 2]; }");
        check("static A: Mutex<&str> = X;", "safe static A: Mutex<&'static str>; }");
        check("static A: &'static [&dyn F] = X;", "safe static A: &'static [&'static dyn F]; }");
        check("static A: fn(&str) -> &str = f;", "safe static A: fn(&str) -> &str; }");
        check("static A: M<Box<dyn Fn(&u8) + Send>> = f;", "safe static A: M<Box<dyn Fn(&u8) + Send>>; }");
    }

    #[test]
    fn the_attribute_stands_behind_the_others() {
        for code in ["static A: u8 = 1;", "/// Doc.\n#[allow(x)] pub static A: u8 = 1;"] {
            let place = items(code).iter().flat_map(of).next().map(|(_, item)| attribute_place(&item));
            assert_eq!(place, code.find("pub static").or(code.find("static")), "{code}");
        }
    }
}
