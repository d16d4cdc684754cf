//! Which entry is found for which repository.
