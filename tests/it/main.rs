//! Integration tests: one binary, a module for each area.

mod lint;
