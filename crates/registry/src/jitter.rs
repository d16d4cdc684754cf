//! Random delays, so that those who collided do not collide again.

use std::time::Duration;

/// A random time up to `most`.
pub(crate) fn up_to(most: Duration) -> Duration {
    let mut bytes = [0_u8; 2];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        // Without randomness everybody waits alike, which is slower and still right.
        return most;
    }
    most.mul_f64(f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX))
}
