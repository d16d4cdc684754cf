//! A whole world in one process for tests.
