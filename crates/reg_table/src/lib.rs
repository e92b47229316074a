//! Register blocks as data: tables, and the one mechanism that reads, writes and resets them.
