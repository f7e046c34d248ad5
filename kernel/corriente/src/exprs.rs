//! What a frame's methods take: expressions, one or several. The traits are there for their words: what a person reads who
//! wrote something else is the compiler's message about them.

use polars::prelude::Expr;

/// A condition on columns.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no condition on columns",
    label = "an expression is wanted here, such as col(\"amount\").gt(lit(50))",
    note = "Rust's ==, <, > and && compare here and now; on columns a comparison is a method: .eq(…), .lt(…), .gt(…), .and(…)",
    note = "a value is written lit(50) or lit(\"text\"), a column col(\"name\")"
)]
pub trait Predicate {
    /// The expression.
    fn into_expr(self) -> Expr;
}

impl Predicate for Expr {
    fn into_expr(self) -> Expr {
        self
    }
}

/// Expressions: several in brackets, or one alone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of expressions",
    label = "expressions are wanted here, in brackets",
    note = "as in [col(\"category\"), col(\"amount\").sum().alias(\"total\")]; a column by its name is col(\"name\")"
)]
pub trait Exprs {
    /// The expressions.
    fn into_exprs(self) -> Vec<Expr>;
}

impl Exprs for Expr {
    fn into_exprs(self) -> Vec<Expr> {
        vec![self]
    }
}

impl<const N: usize> Exprs for [Expr; N] {
    fn into_exprs(self) -> Vec<Expr> {
        self.into()
    }
}

impl Exprs for Vec<Expr> {
    fn into_exprs(self) -> Vec<Expr> {
        self
    }
}

impl Exprs for &[Expr] {
    fn into_exprs(self) -> Vec<Expr> {
        self.to_vec()
    }
}

impl Exprs for &Vec<Expr> {
    fn into_exprs(self) -> Vec<Expr> {
        self.clone()
    }
}

impl<const N: usize> Exprs for &[Expr; N] {
    fn into_exprs(self) -> Vec<Expr> {
        self.to_vec()
    }
}
