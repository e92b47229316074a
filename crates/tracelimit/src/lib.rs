//! Rate-limited tracing macros: a guest cannot flood the log.
