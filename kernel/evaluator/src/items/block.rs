//! An item without a name of its own, what replaces it, and the texts by which items are compared. Functions of syntax.

use std::collections::BTreeSet;
use std::ops::Range;

use ra_ap_syntax::ast::{self, AstNode, HasGenericParams as _, HasName as _};
use ra_ap_syntax::{NodeOrToken, SyntaxKind, SyntaxNode, T};

use crate::complete::words;
use crate::evcxr_contract::keys;

/// An item without a name. evcxr keeps it behind a constant, by whose name it can be replaced.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) key: String,
    pub(super) run: u64,
    pub(super) kind: Kind,
    /// Its text up to its members.
    pub(super) head: String,
    /// The members' names and texts.
    pub(super) members: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// An `impl` of a type's own, or of a trait; `header` names both, however they are written.
    Impl { header: String, type_name: String, of_trait: Option<String> },
    /// A block of foreign functions.
    Extern { abi: String },
    /// The call of a macro that makes items, with the first name that it is given.
    Made { macro_name: String, first: String },
}

impl Block {
    /// Whether all that it has is among these.
    pub(super) fn is_within(&self, names: &BTreeSet<&String>) -> bool {
        !self.members.is_empty() && self.members.iter().all(|(name, _)| names.contains(name))
    }

    /// What replaces it in evcxr's table.
    pub(super) fn text(&self) -> String {
        let members: String = self.members.iter().map(|(_, text)| format!("{text}\n")).collect();
        format!("{}{}\n{members}}}\n", keys::alone(&self.key), self.head)
    }
}

pub(super) fn impl_block(item: &ast::Impl) -> (Kind, String, Vec<(String, String)>) {
    let parameters: Vec<String> = item
        .generic_param_list()
        .into_iter()
        .flat_map(|list| list.generic_params())
        .filter_map(|parameter| match parameter {
            ast::GenericParam::TypeParam(parameter) => parameter.name(),
            ast::GenericParam::ConstParam(parameter) => parameter.name(),
            ast::GenericParam::LifetimeParam(_) => None,
        })
        .map(|name| name.text().to_string())
        .collect();
    let mut order = Vec::new();
    let mut plain = |found: Option<ast::Type>| {
        found.map(|found| plain_path(found.syntax(), &parameters, &mut order)).unwrap_or_default()
    };
    let (of_trait, self_type) = (item.trait_().map(|found| plain(Some(found))), plain(item.self_ty()));
    let first = |text: &str| text.split([' ', '<']).next().unwrap_or(text).to_owned();
    let kind = Kind::Impl {
        header: format!("{} for {self_type}", of_trait.clone().unwrap_or_default()),
        type_name: first(&self_type),
        of_trait: of_trait.as_deref().map(first),
    };
    let list = item.assoc_item_list();
    let members = list.iter().flat_map(|list| list.assoc_items()).map(|item| member(item.syntax())).collect();
    (kind, head(item.syntax(), list.as_ref().map(AstNode::syntax)), members)
}

pub(super) fn extern_block(item: &ast::ExternBlock) -> (Kind, String, Vec<(String, String)>) {
    let abi = item.abi().map(|abi| tokens(abi.syntax())).unwrap_or_default();
    let list = item.extern_item_list();
    let members = list.iter().flat_map(|list| list.extern_items()).map(|item| member(item.syntax())).collect();
    (Kind::Extern { abi }, head(item.syntax(), list.as_ref().map(AstNode::syntax)), members)
}

/// The name of a member, or its text where it has none, and its text.
fn member(item: &SyntaxNode) -> (String, String) {
    let text = item.text().to_string();
    let name = item.children().find_map(ast::Name::cast).map(|name| name.text().to_string());
    (name.unwrap_or_else(|| text.clone()), text)
}

/// The text of an item up to the bracket that its members are in, and with it.
fn head(item: &SyntaxNode, members: Option<&SyntaxNode>) -> String {
    let text = item.text().to_string();
    let Some(members) = members else { return text };
    let brace = usize::from(members.text_range().start() - item.text_range().start()) + 1;
    text[..brace].to_owned()
}

/// A type or trait as all spell it: the last parts of paths, without lifetimes, the parameters by their order.
fn plain_path(node: &SyntaxNode, parameters: &[String], order: &mut Vec<String>) -> String {
    let mut kept: Vec<String> = Vec::new();
    let tokens = node.descendants_with_tokens().filter_map(NodeOrToken::into_token);
    for token in tokens.filter(|token| !token.kind().is_trivia()) {
        let text = token.text().to_owned();
        match token.kind() {
            T![::] => {
                kept.pop();
            }
            SyntaxKind::LIFETIME_IDENT => {}
            T![>] if kept.last().is_some_and(|last| last == "<") => {
                kept.pop();
            }
            T![,] if kept.last().is_some_and(|last| last == "<") => {}
            SyntaxKind::IDENT if parameters.contains(&text) => {
                if !order.contains(&text) {
                    order.push(text.clone());
                }
                let at = order.iter().position(|name| *name == text).unwrap_or(0);
                kept.push(format!("${at}"));
            }
            _ => kept.push(text),
        }
    }
    kept.join(" ")
}

/// What an item derives.
pub(super) fn derives(item: &SyntaxNode) -> BTreeSet<String> {
    let attributes = item.children().filter_map(ast::Attr::cast).map(|attribute| attribute.syntax().text().to_string());
    attributes.filter(|text| text.contains("derive")).flat_map(|text| words(&text).collect::<Vec<_>>()).collect()
}

/// An item's tokens, without comments and the attributes that say nothing of its layout.
pub(super) fn tokens(item: &SyntaxNode) -> String {
    let silent = |attribute: &ast::Attr| !attribute.syntax().text().to_string().contains("repr");
    let silent: Vec<Range<usize>> = item
        .descendants()
        .filter_map(ast::Attr::cast)
        .filter(silent)
        .map(|attribute| {
            let range = attribute.syntax().text_range();
            range.start().into()..range.end().into()
        })
        .collect();
    let all = item.descendants_with_tokens().filter_map(NodeOrToken::into_token);
    let kept = all.filter(|token| {
        let at = usize::from(token.text_range().start());
        !token.kind().is_trivia() && !silent.iter().any(|range| range.contains(&at))
    });
    kept.map(|token| token.text().to_owned()).collect::<Vec<_>>().join(" ")
}
