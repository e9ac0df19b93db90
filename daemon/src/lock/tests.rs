//! The lock, on clocks that a test turns.
