//! Whole images, made of layers by hand, through the union and the catalogers to documents.

mod catalog;
mod documents;
mod hostile;
mod image;
mod languages;
mod minimum;
mod reading;
mod stacks;
mod systems;
