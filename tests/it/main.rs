//! Everything that must hold, on the real servers that `make stack` starts. One binary; every test
//! makes its own names, so that all run side by side.

mod ledger;
mod support;
