//! What does not work between two programs, and why.

use super::programs::Who;
use super::{Direction, Hand, Shape};

/// Why a pair is known not to work; `None` where it must.
pub(super) fn reason(_shape: Shape, _hand: Hand, _who: Who, _direction: Direction) -> Option<&'static str> {
    None
}
