//! Where a notebook's variables are between two cells. evcxr compiles such a store into every cell; the stand-in `cargo` puts
//! this one in its place, which is compiled once and does the same: names, methods and the two marks are evcxr's.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::Arc;

use link::ToKernel;

use super::{client, output};

/// Written when an error ended a cell through a `?`.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";
/// Written before the name of a variable whose type was defined anew.
const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";

/// Variables by name. What depends on a variable's type is as little as can be, for every cell compiles it.
#[derive(Default)]
pub struct VariableStore(BTreeMap<String, Box<dyn Any>>);

/// A store for the process; the cells hand it on.
#[must_use]
pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::default())
}

impl VariableStore {
    /// Keeps a variable.
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        self.put(name, Box::new(value));
    }

    /// Whether a variable is still of the type that it is said to have; one that is not is reported, and lost.
    pub fn check_variable<T: 'static>(&mut self, name: &str) -> bool {
        self.check(name, TypeId::of::<T>())
    }

    /// Reports a variable that is of no use any more, because what its type is made of was defined anew, and lets it go. Its
    /// value is left alone: the code that would drop it knows the new type.
    pub fn lose_variable(&mut self, name: &str) -> bool {
        std::mem::forget(self.0.remove(name));
        report(name);
        false
    }

    /// Gives a variable away, after [`VariableStore::check_variable`].
    ///
    /// # Panics
    /// When it is not there, which evcxr rules out.
    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        match self.take(name).downcast() {
            Ok(value) => *value,
            Err(_) => missing(name),
        }
    }

    /// Something that is made once and shared.
    ///
    /// # Panics
    /// When there is something else under that name, which evcxr rules out.
    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> Arc<T> {
        if !self.0.contains_key(name) {
            self.put(name, Box::new(Arc::new(create())));
        }
        match self.0.get(name).and_then(|held| held.downcast_ref::<Arc<T>>()) {
            Some(shared) => Arc::clone(shared),
            None => missing(name),
        }
    }

    fn put(&mut self, name: &str, value: Box<dyn Any>) {
        self.0.insert(name.to_owned(), value);
    }

    fn check(&mut self, name: &str, wanted: TypeId) -> bool {
        let same = self.0.get(name).is_none_or(|held| held.as_ref().type_id() == wanted);
        if !same {
            report(name);
        }
        same
    }

    fn take(&mut self, name: &str) -> Box<dyn Any> {
        self.0.remove(name).unwrap_or_else(|| missing(name))
    }
}

/// Tells the kernel and evcxr that a variable is lost.
fn report(name: &str) {
    client::send(ToKernel::Retyped { name: name.to_owned() }.into());
    output::tell_evcxr(&format!("{VARIABLE_CHANGED_TYPE}{name}"));
}

fn missing(name: &str) -> ! {
    panic!("the variable {name} is not there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_comes_back_as_it_went() {
        let mut store = VariableStore::default();
        store.put_variable("text", String::from("kept"));
        assert!(store.check_variable::<String>("text") && store.check_variable::<i32>("other"));
        assert!(!store.check_variable::<i32>("text"));
        assert_eq!(store.take_variable::<String>("text"), "kept");
        let (one, same) = (store.lazy_arc("once", || 1), store.lazy_arc("once", || 2));
        assert!(Arc::ptr_eq(&one, &same));
    }
}
