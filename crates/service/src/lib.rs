//! The control plane: the ElastiCache API, records of what is wanted and what is, and the reconciler between them.
#![forbid(unsafe_code)]
