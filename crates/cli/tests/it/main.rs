//! The real binary, as a person or a script runs it: exit codes, words and streams, against servers on loopback and
//! against other people's programs.

mod bad_input;
mod demo;
mod fixtures;
mod inside;
mod keys;
mod peers;
mod policies;
mod releasing;
mod up;
mod verifying;
mod world;
