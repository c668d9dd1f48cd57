//! The documents of `docs/` are true: the month of `model.md` is played by the model, the requests of
//! `api.md` are sent, and the programs of `producers.md` are run.

mod blocks;
mod compare;
mod examples;
mod snippets;
mod story;
