//! The bus device trait, and the legacy CF8/CFC configuration mechanism.
