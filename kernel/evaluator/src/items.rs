//! What a notebook's cells have defined, as far as evcxr's own table of names does not tell: items without a name of their own
//! (`impl`, `extern "C"`, what a macro makes), which a cell that runs again replaces, and the text of types, which tells the
//! variables that a new definition makes useless. Functions of syntax; the session's thread owns the table.

mod block;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use block::{Block, Kind, derives, extern_block, impl_block, tokens};
use ra_ap_syntax::SyntaxNode;
use ra_ap_syntax::ast::{self, AstNode, HasName as _};

use crate::complete::words;
use crate::evcxr_contract::keys;
use crate::rewrite::Edit;
use crate::{macros, statics};

/// The table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Items {
    /// Counts the cells that were taken in.
    run: u64,
    /// Counts the keys that were given.
    keys: u32,
    blocks: Vec<Block>,
    definitions: BTreeMap<String, Definition>,
    macros: BTreeMap<String, macros::Makes>,
    /// Statics of libraries that are loaded, by their names.
    statics: BTreeMap<String, Static>,
}

/// A named item that types may depend on.
#[derive(Clone, Debug)]
struct Definition {
    run: u64,
    /// Its tokens, without what says nothing of its layout.
    tokens: String,
}

/// A static that lives in a library.
#[derive(Clone, Debug)]
struct Static {
    symbol: String,
    /// The words of its type.
    words: Vec<String>,
}

/// What a cell changes in the table.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// The table when the cell has run.
    pub(crate) items: Items,
    /// The changes to the cell's text; places are those of the syntax.
    pub(crate) edits: Vec<Edit>,
    /// What stands behind the cell.
    pub(crate) behind: String,
    /// The calls of macros that are items, and no statements.
    called: Vec<SyntaxNode>,
    /// Types that are no longer what they were, with those made of them.
    pub(crate) changed: BTreeSet<String>,
}

impl Items {
    /// What a cell changes.
    pub(crate) fn change(&self, body: &ast::StmtList) -> Change {
        let mut change = self.unchanged();
        change.items.run += 1;
        let nodes: Vec<SyntaxNode> = body.syntax().children().collect();
        // Macros first: a cell may use what it defines.
        for rules in nodes.iter().filter_map(|node| ast::MacroRules::cast(node.clone())) {
            change.macro_rules(&rules);
        }
        for node in &nodes {
            match ast::Item::cast(node.clone()) {
                Some(ast::Item::Impl(item)) => change.block(item.syntax(), impl_block(&item)),
                Some(ast::Item::ExternBlock(item)) => change.block(item.syntax(), extern_block(&item)),
                Some(item) => change.definition(&item),
                None => change.macro_call(node),
            }
        }
        change.spread();
        for item in nodes.into_iter().filter(|node| ast::Item::can_cast(node.kind())) {
            for (key, _) in statics::of(&item) {
                change.items.statics.remove(&key);
            }
        }
        change
    }

    /// What a cell changes of which nothing is known.
    pub(crate) fn unchanged(&self) -> Change {
        Change { items: self.clone(), ..Change::default() }
    }

    /// The statics that a cell finds in libraries: their names and symbols.
    pub(crate) fn statics(&self) -> BTreeMap<String, String> {
        self.statics.iter().map(|(key, found)| (key.clone(), found.symbol.clone())).collect()
    }

    /// A library with these statics was loaded; each with its symbol and its type.
    pub(crate) fn loaded(&mut self, statics: BTreeMap<String, (String, String)>) {
        for (key, (symbol, type_name)) in statics {
            self.statics.insert(key, Static { symbol, words: words(&type_name).collect() });
        }
    }

    /// The process with the statics has ended.
    pub(crate) fn process_ended(&mut self) {
        self.statics.clear();
    }

    /// A number that no other item has.
    fn number(&mut self) -> u32 {
        self.keys += 1;
        self.keys
    }
}

impl Change {
    /// Whether an expression is the call of a macro that is an item.
    pub(crate) fn is_item(&self, expression: &SyntaxNode) -> bool {
        self.called.contains(expression)
    }

    fn macro_rules(&mut self, rules: &ast::MacroRules) {
        let Some(name) = rules.name().map(|name| name.text().to_string()) else { return };
        let known = |name: &str| self.items.macros.get(name).is_some_and(|makes| *makes == macros::Makes::Items);
        let makes = macros::makes(rules, known);
        self.items.macros.insert(name.clone(), makes);
        self.define(name, tokens(rules.syntax()));
    }

    /// An item with a name.
    fn definition(&mut self, item: &ast::Item) {
        let (name, is_type) = match item {
            ast::Item::Struct(item) => (item.name(), true),
            ast::Item::Enum(item) => (item.name(), true),
            ast::Item::Union(item) => (item.name(), true),
            ast::Item::TypeAlias(item) => (item.name(), false),
            ast::Item::Trait(item) => (item.name(), false),
            ast::Item::Const(item) => (item.name(), false),
            ast::Item::Module(item) => (item.name(), false),
            _ => return,
        };
        let Some(name) = name.map(|name| name.text().to_string()) else { return };
        let before = self.items.definitions.get(&name).map(|definition| definition.run);
        self.define(name.clone(), tokens(item.syntax()));
        if !is_type {
            return;
        }
        let (run, derived) = (self.items.run, derives(item.syntax()));
        // What came together with the definition before goes with it, and so does what is derived now.
        self.remove(|block| match &block.kind {
            Kind::Impl { type_name, of_trait, .. } if *type_name == name && block.run < run => {
                Some(block.run) == before || of_trait.as_ref().is_some_and(|of_trait| derived.contains(of_trait))
            }
            Kind::Made { first, .. } => *first == name && block.run < run,
            _ => false,
        });
    }

    fn define(&mut self, name: String, tokens: String) {
        let run = self.items.run;
        if let Some(before) = self.items.definitions.insert(name.clone(), Definition { run, tokens: tokens.clone() })
            && before.tokens != tokens
        {
            self.changed.insert(name);
        }
    }

    /// An item that is kept under a key of ours.
    fn block(&mut self, node: &SyntaxNode, (kind, head, members): (Kind, String, Vec<(String, String)>)) {
        let run = self.items.run;
        let names: BTreeSet<&String> = members.iter().map(|(name, _)| name).collect();
        let replaces = |other: &Kind| match (&kind, other) {
            (Kind::Impl { header, of_trait, .. }, Kind::Impl { header: other, of_trait: other_trait, .. }) => {
                header == other && of_trait.is_some() == other_trait.is_some()
            }
            (Kind::Extern { abi }, Kind::Extern { abi: other }) => abi == other,
            _ => false,
        };
        let whole = matches!(&kind, Kind::Impl { of_trait: Some(_), .. });
        self.remove(|other| other.run < run && replaces(&other.kind) && (whole || other.is_within(&names)));
        for other in self.items.blocks.iter_mut().filter(|other| other.run < run && replaces(&other.kind)) {
            let before = other.members.len();
            other.members.retain(|(name, _)| !names.contains(name));
            if other.members.len() < before {
                self.behind.push_str(&other.text());
            }
        }
        let key = keys::block(self.items.number());
        self.edits.push(Edit::put(node.text_range().start().into(), keys::in_front(&key)));
        self.items.blocks.push(Block { key, run, kind, head, members });
    }

    /// A call of a macro where an item may stand.
    fn macro_call(&mut self, node: &SyntaxNode) {
        let Some(call) = macros::call(node) else { return };
        let Some(name) = macros::name(&call) else { return };
        if name == "thread_local" {
            self.called.push(node.clone());
            self.items.statics.retain(|key, _| !macros::keys(&call).contains(key));
            return self.edits.extend(macros::thread_local(node, &call));
        }
        let makes_items = macros::KNOWN.contains(&name.as_str())
            || self.items.macros.get(&name).is_some_and(|makes| *makes == macros::Makes::Items);
        if !makes_items {
            return;
        }
        self.called.push(node.clone());
        let first = macros::first_name(&call);
        let is_same = |block: &Block| matches!(&block.kind, Kind::Made { macro_name, first: other } if *macro_name == name && *other == first);
        let before = self.items.blocks.iter().position(|block| is_same(block) && block.run < self.items.run);
        let key = before.map(|at| self.items.blocks.remove(at).key);
        let key = key.unwrap_or_else(|| keys::made(self.items.number()));
        let (begins, ends) = keys::around_made(&key, macros::ends_itself(node, &call));
        self.edits.push(Edit::put(node.text_range().start().into(), begins));
        self.edits.push(Edit::put(node.text_range().end().into(), ends));
        let rules = self.items.definitions.get(&name).map(|rules| rules.tokens.clone()).unwrap_or_default();
        self.define(first.clone(), format!("{rules} {}", tokens(node)));
        let (run, kind) = (self.items.run, Kind::Made { macro_name: name, first });
        self.items.blocks.push(Block { key, run, kind, head: String::new(), members: Vec::new() });
    }

    fn remove(&mut self, goes: impl Fn(&Block) -> bool) {
        for block in self.items.blocks.extract_if(.., |block| goes(block)) {
            self.behind.push_str(&keys::alone(&block.key));
        }
    }

    /// What is made of a type that changed has changed too, and a static of it begins anew.
    fn spread(&mut self) {
        if self.changed.is_empty() {
            return;
        }
        loop {
            let uses = |tokens: &str| words(tokens).any(|word| self.changed.contains(&word));
            let more: Vec<String> = self
                .items
                .definitions
                .iter()
                .filter(|(name, definition)| !self.changed.contains(*name) && uses(&definition.tokens))
                .map(|(name, _)| name.clone())
                .collect();
            if more.is_empty() {
                break;
            }
            self.changed.extend(more);
        }
        let changed = &self.changed;
        self.items.statics.retain(|_, found| !found.words.iter().any(|word| changed.contains(word)));
    }
}
