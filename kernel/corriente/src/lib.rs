//! corriente
