//! The reference engine against hand-made frames, against the definitions, and against the classifier.

mod definition;
mod native;
mod recipe;
mod rules;
