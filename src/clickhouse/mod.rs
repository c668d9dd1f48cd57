//! Connection, rows, writers and reads of the tables.
