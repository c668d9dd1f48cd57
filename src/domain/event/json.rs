//! One pass over untrusted JSON: borrows what is asked for, checks doubled keys and depth everywhere.
