//! The crate from outside: comparison vectors and laws of order.

mod order;
